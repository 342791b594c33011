// The figures to play with of the first page and of the pages about networks.
"use strict";

function playDisc(figure, start) {
  const drawing = plane(figure, [1.1, 1.1], "Points inside and outside a disc, and the lines of three neurons");
  const controls = element(figure, "div", { class: "controls" });
  const wires = chart(controls, [-0.15, 2.15], [-0.4, 2.4], "The network, with lines as thick as its weights are large", 0.55);
  const curve = chart(controls, [0, start.epochs], [0, 0.3], "The cost by epoch", 0.25);
  const label = choice(controls, "a click adds", { 0: "a blue point", 1: "an orange point" }, () => {});
  buttons(controls, { "train again": begin, "pause or continue": () => { moving = !moving; move(); } });
  const text = element(controls, "p");
  const places = [[[0, 1.6], [0, 0.4]], [[1, 2], [1, 1], [1, 0]], [[2, 1.6], [2, 0.4]]];
  let points, parameters, costs, until, moving;

  const shuffled = (rows) => rows.map((row) => [Math.random(), row]).sort((p, q) => p[0] - q[0]).map((pair) => pair[1]);
  const inputs = (rows) => ({ X: rows.map(({ x }) => x), Y: rows.map(({ one }) => [1 - one, one]), parameters });
  const step = (value, slope) =>
    Array.isArray(value) ? value.map((part, i) => step(part, slope[i])) : value - start.rate * slope;

  function trainEpoch() {
    const order = shuffled(points);
    for (let k = 0; k < order.length; k += start.size) {
      parameters = step(parameters, network(inputs(order.slice(k, k + start.size))).gradients);
    }
    costs.push(network(inputs(points)).cost);
  }
  function draw() {
    drawing.clear();
    network({ X: GRID, Y: GRID, parameters }).A2.forEach((a, k) => paint(drawing, k, a[1] > a[0]));
    const [W, b] = parameters;
    b.forEach((bias, j) => {
      const norm = W[0][j] ** 2 + W[1][j] ** 2;
      const foot = [(-bias * W[0][j]) / norm, (-bias * W[1][j]) / norm];
      const along = [(-4 * W[1][j]) / Math.sqrt(norm), (4 * W[0][j]) / Math.sqrt(norm)];
      drawing.line(foot.map((v, i) => v - along[i]), foot.map((v, i) => v + along[i]), "ink");
    });
    points.forEach(({ x, one }) => drawing.dot(x, one ? "one" : "zero", 2));
    drawNetwork();
    curve.clear();
    curve.name(`${costs.length - 1} epochs`, "cost");
    curve.curve(costs.map((cost, epoch) => [(epoch * start.epochs) / Math.max(until, start.epochs), cost]), "zero");
    const { A2 } = network(inputs(points));
    const right = A2.filter((a, r) => (a[1] > a[0]) === (points[r].one === 1)).length;
    text.textContent = `cost ${costs.at(-1).toFixed(3)}, ${right} of ${points.length} points right`;
  }
  function drawNetwork() {
    wires.clear();
    [parameters[0], parameters[2]].forEach((W, l) => W.forEach((row, k) => row.forEach((w, j) => {
      wires.line(places[l][k], places[l + 1][j], w > 0 ? "positive" : "negative", Math.min(0.3 + Math.abs(w) / 2, 6));
    })));
    places.flat().forEach((place) => wires.dot(place, "node", 5));
  }
  function move() {
    if (!moving || costs.length > until) return;
    trainEpoch();
    draw();
    window.setTimeout(move, 40);
  }
  function begin() {
    const waiting = moving && costs.length <= until;
    points = start.X.map((x, r) => ({ x, one: start.y[r] }));
    [parameters, until, moving] = [start.parameters, start.epochs, true];
    costs = [network(inputs(points)).cost];
    draw();
    if (!waiting) move();
  }
  drawing.click((x) => {
    const ended = costs.length > until;
    points.push({ x, one: Number(label.value) });
    until = costs.length + 60;
    draw();
    if (ended) move();
  });
  begin();
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
    moving = false;
    while (costs.length <= until) trainEpoch();
    draw();
  }
}

function playNeuron(figure, start) {
  const drawing = plane(figure, [2.2, 2.2], "Points of two classes and the line of a neuron");
  const controls = element(figure, "div", { class: "controls" });
  const angle = slider(controls, "angle of w", -Math.PI, Math.PI, Math.atan2(start.w[1], start.w[0]), draw);
  const length = slider(controls, "length of w", 0.05, 8, Math.hypot(...start.w), draw);
  const bias = slider(controls, "b", -5, 5, start.b, draw);
  const loss = choice(controls, "loss", LOSSES, draw);
  buttons(controls, {
    "1 step": () => descend(1),
    "100 steps": () => descend(100),
    "start again": () => set(start.w, start.b),
  });
  const text = element(controls, "p", { "aria-live": "polite" });

  function state() {
    const w = [length.value * Math.cos(angle.value), length.value * Math.sin(angle.value)];
    return { X: start.X, y: start.y, w, b: Number(bias.value), loss: loss.value };
  }
  function set(w, b) {
    angle.show(Math.atan2(w[1], w[0]));
    length.show(Math.hypot(...w));
    bias.show(b);
    draw();
  }
  function descend(steps) {
    const now = state();
    for (let k = 0; k < steps; k++) {
      const { dw, db } = neuron(now);
      now.w = now.w.map((value, i) => value - dw[i]);
      now.b -= db;
    }
    set(now.w, now.b);
  }
  function draw() {
    const now = state();
    const { a, delta, cost } = neuron(now);
    const norm = now.w[0] ** 2 + now.w[1] ** 2;
    const foot = now.w.map((value) => (-now.b * value) / norm);
    const along = [-now.w[1], now.w[0]].map((value) => (6 * value) / Math.sqrt(norm));
    drawing.clear();
    drawing.line(foot.map((v, i) => v - along[i]), foot.map((v, i) => v + along[i]), "ink");
    drawing.line(foot, foot.map((v, i) => v + (0.5 * now.w[i]) / Math.sqrt(norm)), "weight");
    start.X.forEach((x, r) => {
      drawing.line(x, x.map((v) => v - 0.5 * delta[r] * v), "pull");
      drawing.dot(x, start.y[r] ? "one" : "zero");
    });
    const wrong = a.filter((p, r) => (p > 0.5) !== (start.y[r] === 1)).length;
    text.textContent = `C = ${cost.toFixed(4)}; ${wrong} of ${a.length} points on the wrong side`;
  }
  draw();
}

function playValley(figure, start) {
  const drawing = plane(figure, [11, 1.8], "Steps of gradient descent over the contours of a valley", 0.6);
  const controls = element(figure, "div", { class: "controls" });
  const rate = slider(controls, "learning rate", 0, 0.25, start.rate, draw);
  const momentum = slider(controls, "momentum", 0, 0.95, start.momentum, draw);
  const level = slider(controls, "noise", 0, 10, 0, draw);
  const falls = choice(controls, "rate", { "": "constant", falling: "falls to 0" }, draw);
  const place = start.t.map((value, i) => slider(controls, `start, θ${"₁₂"[i]}`, -[11, 1.8][i], [11, 1.8][i], value, draw));
  const curve = chart(controls, [0, start.steps], [-2.2, 3.2], "The cost by step, in logarithmic scale", 0.3);
  const text = element(controls, "p", { "aria-live": "polite" });
  const cost = (t) => sum(t.map((value, i) => start.curvatures[i] * value * value)) / 2;

  function draw() {
    const noise = start.noise.map((pair) => pair.map((value) => level.value * value));
    const options = { rate: Number(rate.value), momentum: Number(momentum.value), noise, falling: falls.value !== "" };
    const path = descent({ ...start, t: place.map((input) => Number(input.value)), ...options });
    drawing.clear();
    drawing.name("θ₁", "θ₂");
    for (const level of [1, 4, 10, 20, 35, 55]) {
      const H = [[start.curvatures[0], 0], [0, start.curvatures[1]]];
      drawing.curve(contour({ H, center: [0, 0], level }), "pale");
    }
    drawing.curve(path, "zero");
    path.forEach((point) => drawing.dot(point, "zero", 1.5));
    curve.clear();
    curve.name("step", "log C");
    curve.curve(path.map((t, k) => [k, Math.max(Math.min(Math.log10(cost(t)), 3.2), -2.2)]), "zero");
    const end = cost(path[start.steps]);
    text.textContent = `C: ${cost(path[0]).toFixed(0)} at the start, ${end < 1e5 ? end.toPrecision(3) : "far away"} after ${start.steps} steps`;
  }
  drawing.follow((t) => {
    place.forEach((input, i) => input.show(t[i]));
    draw();
  });
  draw();
}

function playNudge(figure, start) {
  const graph = chart(figure, [-0.6, 6.6], [-0.75, 3.05], "The graph, with the paths from a parameter to the loss", 0.5, 260);
  const drawing = plane(figure, [3.2, 0.5], "The loss along one parameter, with its tangent", 0.7);
  const controls = element(figure, "div", { class: "controls" });
  const places = {};
  start.parameters.forEach((array, part) => array.forEach((line, k) => [line].flat().forEach((_, j) => {
    const layer = "¹²"[Math.floor(part / 2)];
    if (Array.isArray(line)) places[`w${layer}, to ${j + 1} from ${k + 1}`] = [part, k, j];
    else places[`b${layer}, of ${k + 1}`] = [part, k];
  })));
  const names = Object.fromEntries(Object.keys(places).map((name) => [name, name]));
  const parameter = choice(controls, "parameter", names, reset);
  const value = slider(controls, "its value", -3, 3, 0, draw);
  buttons(controls, { "its value on this page": reset });
  const text = element(controls, "p", { "aria-live": "polite" });
  parameter.value = "w¹, to 1 from 2";

  const place = () => places[parameter.value];
  const entry = (parts) => place().reduce((part, index) => part[index], parts);
  function evaluate(number) {
    const parameters = JSON.parse(JSON.stringify(start.parameters));
    place().slice(0, -1).reduce((part, index) => part[index], parameters)[place().at(-1)] = number;
    return paths({ x: start.X[0], y: start.Y[0], parameters, place: place() });
  }
  function reset() {
    value.show(entry(start.parameters));
    draw();
  }
  function draw() {
    const now = Number(value.value);
    const found = evaluate(now);
    const slope = sum(found.paths.map((path) => path.product));
    drawGraph(found);
    const low = 0.25; // of the losses that the plane shows: from -0.25 to 0.75
    const points = Array.from({ length: 121 }, (_, k) => -3 + k / 20);
    drawing.clear();
    drawing.name(parameter.value, "L");
    drawing.line([-3.2, -low], [3.2, -low], "pale");
    drawing.curve(points.map((w) => [w, evaluate(w).cost - low]), "zero");
    drawing.line([now - 1, found.cost - slope - low], [now + 1, found.cost + slope - low], "pull");
    drawing.dot([now, found.cost - low], "one");
    const products = found.paths.map(({ factors, product }) => `${factors.map((f) => f.toFixed(3)).join(" · ")} = ${product.toFixed(4)}`);
    text.innerText = `Along ${products.length > 1 ? "the two paths" : "the path"}:\n${products.join("\n")}\n` +
      `L = ${found.cost.toFixed(4)}, its derivative is ${slope.toFixed(4)}`;
  }
  function drawGraph({ z1, a1, z2, a2, cost, to, paths: lit }) {
    const columns = { x: start.X[0], "z¹": z1, "a¹": a1, "z²": z2, "a²": a2 };
    const at = (name, i) => [Object.keys(columns).indexOf(name) * 1.25, i ? 0.2 : 2];
    const end = [6.1, 1.1];
    const [part] = place();
    const second = part > 1;
    const source = [second ? 3.1 : 0.6, to ? -0.5 : 2.8];
    const edges = [];
    for (const [tail, head] of [["x", "z¹"], ["a¹", "z²"]]) {
      for (const i of [0, 1]) for (const j of [0, 1]) edges.push([at(tail, i), at(head, j), `${tail}${i}${head}${j}`]);
    }
    for (const [tail, head] of [["z¹", "a¹"], ["z²", "a²"]]) {
      for (const i of [0, 1]) edges.push([at(tail, i), at(head, i), `${tail}${i}${head}${i}`]);
    }
    for (const i of [0, 1]) edges.push([at("a²", i), end, `a²${i}`]);
    const slopes = {};
    lit.forEach(({ output, factors }) => {
      const names = second
        ? [`z²${to}a²${to}`, `a²${to}`]
        : [`z¹${to}a¹${to}`, `a¹${to}z²${output}`, `z²${output}a²${output}`, `a²${output}`];
      names.forEach((name, i) => { slopes[name] = factors[i + 1]; });
    });
    graph.clear();
    edges.forEach(([tail, head, name]) => graph.line(tail, head, name in slopes ? "pull" : "pale"));
    graph.line(source, at(second ? "z²" : "z¹", to), "pull");
    edges.filter(([, , name]) => name in slopes).forEach(([tail, head, name]) => {
      graph.write([0.42 * tail[0] + 0.58 * head[0], 0.42 * tail[1] + 0.58 * head[1] + 0.1], slopes[name].toFixed(3), "label slope");
    });
    graph.write(source, parameter.value.slice(0, 2), "label slope");
    graph.write([source[0] + 0.45, source[1] + (to ? 0.33 : -0.33)], lit[0].factors[0].toFixed(3), "label slope");
    for (const [name, values] of Object.entries(columns)) {
      values.forEach((number, i) => {
        graph.dot(at(name, i), "node", 8);
        graph.write(at(name, i), name + "₁₂"[i]);
        graph.write([at(name, i)[0], at(name, i)[1] - 0.42], number.toFixed(3), "label small");
      });
    }
    graph.dot(end, "node", 8);
    graph.write(end, "L");
    graph.write([end[0], end[1] - 0.42], cost.toFixed(4), "label small");
  }
  reset();
}

function playBlanks(figure, start) {
  const controls = element(figure, "div", { class: "controls" });
  const names = Object.fromEntries(start.exercises[0].map((blank, k) => [k, blank.name]));
  const which = choice(controls, "blank", names, ask);
  buttons(controls, { "other numbers": () => { exercise = (exercise + 1) % start.exercises.length; ask(); } });
  const formula = element(controls, "p");
  const given = element(controls, "pre");
  const cells = element(controls, "div");
  const text = element(controls, "p", { "aria-live": "polite" });
  let exercise = 0;
  const close = (a, b) => a.every((v, k) => Math.abs(v - b[k]) <= 1e-3 * Math.max(...b.map(Math.abs)));

  function ask() {
    const blank = start.exercises[exercise][which.value];
    formula.textContent = `${blank.formula}, of shape (${blank.shape})`;
    given.textContent = blank.given.map(([name, values]) => `${name} = ${JSON.stringify(values)}`).join("\n");
    cells.replaceChildren();
    text.textContent = "Three digits are enough.";
    blank.right.forEach((_, k) => {
      const cell = element(cells, "input", { type: "number", step: "any", "aria-label": `entry ${k + 1}` });
      cell.addEventListener("input", check);
    });
  }
  function check() {
    const blank = start.exercises[exercise][which.value];
    const answers = [...cells.children].map((cell) => (cell.value === "" ? NaN : Number(cell.value)));
    if (answers.some(Number.isNaN)) text.textContent = "Fill in every entry, row by row.";
    else if (close(answers, blank.right)) text.textContent = "Correct.";
    else {
      const mistake = blank.mistakes.find(([, values]) => close(answers, values));
      text.textContent = mistake ? `Not yet: ${mistake[0]}.` : "Not yet.";
    }
  }
  ask();
}

function playShapes(figure, start) {
  const [width, height] = [20, 8];
  const drawing = chart(figure, [0, width], [0, height], "Two matrices and their product, cell by cell", height / width, 220);
  const controls = element(figure, "div", { class: "controls" });
  const wanted = choice(controls, "wanted", { Z: "Z - b", dX: "dX", dW: "dW" }, draw);
  const names = ["X", "Xᵀ", "W", "Wᵀ", "dZ", "dZᵀ"];
  const options = Object.fromEntries(names.map((name) => [name, name]));
  const [left, right] = ["left", "right"].map((name) => choice(controls, name, options, draw));
  const sizes = ["n", "d", "m"].map((name) => slider(controls, name, 1, 6, start[name], draw, whole));
  const cell = ["row", "column"].map((name) => slider(controls, `${name} of the cell`, 1, 6, 1, draw, whole));
  const text = element(controls, "p", { "aria-live": "polite" });
  const correct = { Z: ["X", "W"], dX: ["dZ", "Wᵀ"], dW: ["Xᵀ", "dZ"] };
  let side; // of a cell
  [wanted.value, left.value, right.value] = ["dW", "Xᵀ", "dZ"];

  const transpose = (A) => A[0].map((_, j) => A.map((row) => row[j]));
  const cut = (A, rows, columns) => A.slice(0, rows).map((row) => row.slice(0, columns));
  function draw() {
    const [n, d, m] = sizes.map((input) => Math.round(input.value));
    const shapes = { X: [n, d], W: [d, m], dZ: [n, m], Z: [n, m], dX: [n, d], dW: [d, m] };
    const matrix = (name) => (name.endsWith("ᵀ") ? transpose(matrix(name[0] === "d" ? "dZ" : name[0])) : cut(start[name], ...shapes[name]));
    const [A, B] = [matrix(left.value), matrix(right.value)];
    const C = product(A, B);
    const [i, j] = C ? cell.map((input, k) => Math.min(Math.round(input.value), [C, C[0]][k].length) - 1) : [-1, -1];
    const columns = A[0].length + B[0].length + (C ? C[0].length : 0);
    side = Math.min(1.5, (width - 3) / columns, (height - 1.4) / Math.max(A.length, B.length));
    drawing.clear();
    let x = 0.3;
    x = drawMatrix(x, A, left.value, "zero", (row) => row === i);
    x = drawMatrix(x, B, right.value, "one", (_, column) => column === j);
    if (C) {
      drawing.write([x - 0.2, 3.3], "=");
      drawMatrix(x + 0.5, C, "", "result", (row, column) => row === i && column === j, (row, column) => {
        cell[0].show(row + 1);
        cell[1].show(column + 1);
        draw();
      });
    }
    const shape = shapes[wanted.value];
    text.innerText = verdict(A, B, C, shape) + (C ? `\nCell (${i + 1}, ${j + 1}): ${terms(A, B, i, j)} = ${C[i][j]}` : "");
  }
  function drawMatrix(x, A, name, look, lit, hovered) {
    const top = 3.3 + (A.length * side) / 2;
    drawing.write([x + (A[0].length * side) / 2, 7.4], `${name} (${A.length}, ${A[0].length})`);
    A.forEach((row, i) => row.forEach((value, j) => {
      const corner = [x + side * j, top - side * (i + 1)];
      const square = drawing.rectangle(corner, 0.93 * side, 0.93 * side, lit(i, j) ? `${look} lit` : look);
      drawing.write(corner.map((v) => v + 0.46 * side), String(value), "label small");
      if (hovered) square.addEventListener("pointerenter", () => { if (!lit(i, j)) hovered(i, j); });
    }));
    return x + side * A[0].length + 1;
  }
  const signed = (number) => (number < 0 ? `(${number})` : `${number}`);
  const terms = (A, B, i, j) => A[i].map((a, k) => `${signed(a)} · ${signed(B[k][j])}`).join(" + ");
  function verdict(A, B, C, shape) {
    if (!C) return `${A[0].length} columns meet ${B.length} rows: there is no such product.`;
    const found = [C.length, C[0].length];
    if (String(found) !== String(shape)) return `The product exists, but its shape is (${found}), not (${shape}).`;
    const [first, second] = correct[wanted.value];
    if (left.value === first && right.value === second) return `Yes: ${wanted.value} = ${first} ${second}.`;
    return "The shape fits, but it is another matrix. Make n, d and m different, and shapes will warn you.";
  }
  draw();
}

function playSoftmax(figure, start) {
  const drawing = plane(figure, [1.6, 1.1], "Bars of three probabilities, and of three derivatives", 0.7);
  const controls = element(figure, "div", { class: "controls" });
  const logits = start.z.map((value, k) => slider(controls, `z${k + 1}`, -6, 12, value, draw));
  const temperature = slider(controls, "temperature", 0.2, 5, start.T, draw);
  const truth = choice(controls, "true class", { 0: "1", 1: "2", 2: "3" }, draw);
  const loss = choice(controls, "loss", LOSSES, draw);
  buttons(controls, {
    "add 1 to all": () => {
      logits.forEach((input) => input.show(Number(input.value) + 1));
      draw();
    },
  });
  const text = element(controls, "p", { "aria-live": "polite" });
  truth.value = start.c;
  loss.value = "cross_entropy";

  function bars(left, values, look) {
    values.forEach((value, k) => {
      const x = left + 0.4 * k;
      drawing.line([x, 0], [x, value], `bar ${look}`);
      drawing.write([x, value < 0 ? 0.08 : -0.08], String(k + 1));
    });
  }
  function draw() {
    const z = logits.map((input) => Number(input.value));
    const { p, cost, dz } = softmax({ z, c: Number(truth.value), T: Number(temperature.value), loss: loss.value });
    drawing.clear();
    drawing.line([-1.5, 0], [1.5, 0], "ink");
    bars(-1.3, p, "zero");
    bars(0.5, dz, "one");
    drawing.write([-0.9, 1.02], "p");
    drawing.write([0.9, 1.02], "dz");
    const show = (values) => values.map((value) => value.toFixed(4)).join(", ");
    text.textContent = `p = (${show(p)}), on the left; dz = (${show(dz)}), on the right; L = ${cost.toFixed(4)}`;
  }
  draw();
}

function playDifference(figure, start) {
  const curve = chart(figure, [-2, 4], [-0.1, 1.1], "The cost, with the chord whose slope is the difference", 0.5);
  const drawing = plane(figure, [6.5, 8], "Errors of finite differences over the step, in logarithmic scales", 0.5);
  const controls = element(figure, "div", { class: "controls" });
  const exponent = slider(controls, "log₁₀ of h", -12, 0, start.exponent, draw);
  const fault = slider(controls, "log₁₀ of the fault", -13, -1, start.fault, draw);
  const precision = choice(controls, "precision", { double: "float64", single: "float32" }, draw);
  const kind = choice(controls, "difference", { central: "central", oneSided: "one-sided" }, draw);
  const text = element(controls, "p", { "aria-live": "polite" });
  const cost = (w) => sigmoid(w) ** 2;

  function errors(power) {
    const found = difference({ w: start.w, h: 10 ** power, single: precision.value === "single" });
    const error = (slope) => Math.max(Math.abs(found[kind.value] / slope - 1), 1e-14);
    return { right: error(found.derivative), wrong: error(found.derivative * (1 + 10 ** fault.value)) };
  }
  function drawChord() {
    const h = 10 ** exponent.value;
    const ends = [start.w - (kind.value === "central" ? h : 0), start.w + h].map((w) => [w, cost(w)]);
    const slope = (ends[1][1] - ends[0][1]) / (ends[1][0] - ends[0][0]);
    curve.clear();
    curve.name("w", "C");
    curve.curve(Array.from({ length: 61 }, (_, k) => [-2 + k / 10, cost(-2 + k / 10)]), "zero");
    curve.line([-2, ends[0][1] - slope * (ends[0][0] + 2)], [4, ends[1][1] + slope * (4 - ends[1][0])], "pull");
    ends.forEach((end) => curve.dot(end, "one"));
  }
  function draw() {
    const powers = Array.from({ length: 240 }, (_, k) => -12 + (12 * k) / 239);
    const place = (power, error) => [power + 6.25, Math.log10(error) + 7];
    drawChord();
    drawing.clear();
    drawing.name("log h", "log of the error");
    for (const name of ["wrong", "right"]) {
      drawing.curve(powers.map((power) => place(power, errors(power)[name])), name === "right" ? "zero" : "fault");
    }
    const { right, wrong } = errors(Number(exponent.value));
    drawing.dot(place(Number(exponent.value), right), "zero");
    drawing.dot(place(Number(exponent.value), wrong), "one");
    text.textContent = `relative difference: right derivative ${right.toExponential(1)}, wrong one ${wrong.toExponential(1)}`;
  }
  draw();
}

function playMistakes(figure, start) {
  const drawing = chart(figure, [0, 100], [-3.9, 0.5], "Loss curves of the right network, dashed, and of one with a mistake", 0.6);
  const controls = element(figure, "div", { class: "controls" });
  const text = element(controls, "p", { "aria-live": "polite" });
  const actions = { "next network": next, "compare the gradients": compare };
  start.mistakes.forEach((mistake) => { actions[mistake.name] = () => guess(mistake); });
  buttons(controls, actions);
  const bars = chart(controls, [-1.9, 2.6], [-0.1, 6.6], "Cosines of the wrong and the right gradient of each array", 0.55);
  let now = -1;

  function next() {
    now = (now + 1 + Math.floor(Math.random() * (start.mistakes.length - 1))) % start.mistakes.length;
    const place = (loss, epoch) => [epoch, Math.log(loss)];
    drawing.clear();
    drawing.name("100 epochs", "log of the loss");
    drawing.curve(start.mistakes[now].right.map(place), "fault");
    drawing.curve(start.mistakes[now].wrong.map(place), "zero");
    text.textContent = "One of four mistakes is in this network (blue; dashed without it). Which one?";
    bars.clear();
    bars.write([0.35, 3.2], "not compared yet");
  }
  function compare() {
    bars.clear();
    bars.line([0, 0], [0, 6], "ink");
    bars.write([0, 6.3], "cosine");
    bars.write([1.95, 6.3], "length");
    start.mistakes[now].blocks.forEach(([name, cosine, ratio], k) => {
      bars.line([0, 5.5 - k], [cosine, 5.5 - k], cosine > 0.9 ? "bar flat zero" : "bar flat one");
      bars.write([-1.5, 5.5 - k], name);
      bars.write([1.95, 5.5 - k], `× ${ratio.toFixed(2)}`);
    });
  }
  function guess(mistake) {
    text.textContent = mistake === start.mistakes[now] ? `Yes: ${mistake.name}.` : `No, not "${mistake.name}".`;
  }
  next();
}

function playPenguins(figure, start) {
  const drawing = plane(figure, [2.4, 4.6], "Body mass and bill depth of penguins, and the line of a neuron", 0.9);
  const controls = element(figure, "div", { class: "controls" });
  const inputs = [["w of the mass", -1, 9], ["w of the bill", -1, 4], ["b", -4, 4]]
    .map(([name, min, max]) => slider(controls, name, min, max, 0, draw));
  buttons(controls, { "1 step": () => descend(1), "100 steps": () => descend(100), "start again": begin });
  const text = element(controls, "p", { "aria-live": "polite" });

  function state() {
    const [w1, w2, b] = inputs.map((input) => Number(input.value));
    return { X: start.X, y: start.y, w: [w1, w2], b, loss: "cross_entropy" };
  }
  function set(values) {
    inputs.forEach((input, i) => input.show(values[i]));
    draw();
  }
  function begin() {
    set(start.parameters);
  }
  function descend(steps) {
    const now = state();
    for (let k = 0; k < steps; k++) {
      const { dw, db } = neuron(now);
      now.w = now.w.map((value, i) => value - start.rate * dw[i]);
      now.b -= start.rate * db;
    }
    set([...now.w, now.b]);
  }
  function draw() {
    const now = state();
    const { a, cost } = neuron(now);
    drawing.clear();
    drawing.name("body mass", "bill depth");
    for (const [level, look] of [[0.1, "pale"], [0.5, "ink"], [0.9, "pale"]]) {
      const z = Math.log(level / (1 - level)) - now.b;
      const ends = now.w[1] ** 2 > 0.1 * now.w[0] ** 2
        ? [-3, 3].map((x) => [x, (z - now.w[0] * x) / now.w[1]])
        : [-6, 6].map((y) => [(z - now.w[1] * y) / now.w[0], y]);
      if (ends.flat().every(Number.isFinite)) drawing.line(...ends, look);
    }
    start.X.forEach((x, r) => drawing.dot(x, start.y[r] ? "one" : "zero", 1.6));
    const right = a.filter((p, r) => (p > 0.5) === (start.y[r] === 1)).length;
    text.textContent = `log loss ${cost.toFixed(4)}, ${right} of ${a.length} penguins right. ` +
      `100 grams more multiply the odds of male by ${Math.exp(now.w[0] / 10).toFixed(2)}, ` +
      `a bill 1 mm deeper by ${Math.exp(now.w[1]).toFixed(2)}.`;
  }
  begin();
}

function playAnswers(figure, start) {
  const drawing = chart(figure, [-4, 114], [-0.38, 1.1], "The cost of an answer to five rows, and its lowest point", 0.8);
  const controls = element(figure, "div", { class: "controls" });
  const names = { squared_error: "squared error", huber: "Huber", absolute_error: "absolute error", quantile: "quantile" };
  const loss = choice(controls, "loss", names, draw);
  const last = slider(controls, "fifth target", 0, 110, start.y.at(-1), draw);
  const input = slider(controls, "answer", 0, 110, start.answer, draw);
  const q = slider(controls, "q of the quantile", 0.05, 0.95, start.q, draw);
  buttons(controls, {
    "go to the best": () => {
      input.show(bestAnswer(state(loss.value)));
      draw();
    },
  });
  const text = element(controls, "p", { "aria-live": "polite" });

  function state(name) {
    return { y: [...start.y.slice(0, -1), Number(last.value)], answer: Number(input.value), loss: name, q: Number(q.value) };
  }
  function draw() {
    const now = state(loss.value);
    const answers = Array.from({ length: 221 }, (_, k) => k / 2);
    const costs = answers.map((answer) => answerCost({ ...now, answer }).cost);
    const largest = Math.max(...costs);
    const { cost, slope, pulls } = answerCost(now);
    const best = bestAnswer(now);
    drawing.clear();
    drawing.name("answer", "cost");
    drawing.line([0, 0], [110, 0], "pale");
    drawing.curve(answers.map((answer, k) => [answer, costs[k] / largest]), "zero");
    drawing.dot([best, answerCost({ ...now, answer: best }).cost / largest], "one", 4);
    const strongest = Math.max(...pulls.map(Math.abs), 1e-9);
    now.y.forEach((target, r) => {
      const y = -0.06 - 0.05 * r;
      drawing.line([now.answer, y], [now.answer + (50 * pulls[r]) / strongest, y], "pull");
      drawing.dot([target, 0], "zero", 2.5);
    });
    drawing.line([now.answer, -0.31], [now.answer, cost / largest], "ink");
    const bests = Object.entries(names).map(([name, shown]) => `${shown} ${bestAnswer(state(name)).toFixed(1)}`);
    text.textContent = `C = ${cost.toFixed(2)}, derivative ${slope.toFixed(2)}. The best answers: ${bests.join(", ")}.`;
  }
  draw();
}

Object.assign(FIGURES, {
  index: playDisc,
  neuron: playNeuron,
  descent: playValley,
  logistic: playPenguins,
  graph: playNudge,
  trace: playBlanks,
  matrices: playShapes,
  softmax: playSoftmax,
  losses: playAnswers,
  gradient_checking: playDifference,
  common_mistakes: playMistakes,
});
