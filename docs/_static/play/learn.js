// The figures to play with of the first page and of the pages about networks.
"use strict";

function playDisc(figure, start) {
  const drawing = plane(figure, [1.1, 1.1], "Points inside and outside a disc, and the lines of three neurons");
  const controls = element(figure, "div", { class: "controls" });
  buttons(controls, { "train again": begin, "pause or continue": () => { moving = !moving; move(); } });
  const text = element(controls, "p");
  const Y = start.y.map((label) => [1 - label, label]);
  let parameters, epoch, moving;

  function epochOfSteps() {
    const order = start.y.map((_, r) => [Math.random(), r]).sort((p, q) => p[0] - q[0]).map((pair) => pair[1]);
    for (let k = 0; k < order.length; k += start.size) {
      const rows = order.slice(k, k + start.size);
      const { gradients } = network({ X: rows.map((r) => start.X[r]), Y: rows.map((r) => Y[r]), parameters });
      const step = (value, slope) =>
        Array.isArray(value) ? value.map((part, i) => step(part, slope[i])) : value - start.rate * slope;
      parameters = step(parameters, gradients);
    }
    epoch += 1;
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
    start.X.forEach((x, r) => drawing.dot(x, start.y[r] ? "one" : "zero", 2));
    const { A2, cost } = network({ X: start.X, Y, parameters });
    const right = A2.filter((a, r) => (a[1] > a[0]) === (start.y[r] === 1)).length;
    text.textContent = `epoch ${epoch}: cost ${cost.toFixed(3)}, ${right} of ${Y.length} points right`;
  }
  function move() {
    if (!moving || epoch >= start.epochs) return;
    epochOfSteps();
    draw();
    window.setTimeout(move, 40);
  }
  function begin() {
    const waiting = moving && epoch < start.epochs;
    [parameters, epoch, moving] = [start.parameters, 0, true];
    draw();
    if (!waiting) move();
  }
  begin();
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
    moving = false;
    while (epoch < start.epochs) epochOfSteps();
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
  const text = element(controls, "p", { "aria-live": "polite" });
  const cost = (t) => sum(t.map((value, i) => start.curvatures[i] * value * value)) / 2;

  function draw() {
    const noise = start.noise.map((pair) => pair.map((value) => level.value * value));
    const options = { rate: Number(rate.value), momentum: Number(momentum.value), noise, falling: falls.value !== "" };
    const path = descent({ ...start, ...options });
    drawing.clear();
    for (const C of [1, 4, 10, 20, 35, 55]) {
      const turn = Array.from({ length: 73 }, (_, k) => (k * Math.PI) / 36);
      const radii = start.curvatures.map((curvature) => Math.sqrt((2 * C) / curvature));
      drawing.curve(turn.map((phi) => [radii[0] * Math.cos(phi), radii[1] * Math.sin(phi)]), "pale");
    }
    drawing.curve(path, "zero");
    path.forEach((point) => drawing.dot(point, "zero", 1.5));
    const end = cost(path[start.steps]);
    text.textContent = `C: ${cost(path[0]).toFixed(0)} at the start, ${end < 1e5 ? end.toPrecision(3) : "far away"} after ${start.steps} steps`;
  }
  draw();
}

function playNudge(figure, start) {
  const drawing = plane(figure, [3.2, 0.5], "The loss along one parameter, with its tangent", 0.8);
  const controls = element(figure, "div", { class: "controls" });
  const places = {};
  start.parameters.forEach((part, i) => part.forEach((line, k) => [line].flat().forEach((_, j) => {
    const name = Array.isArray(line) ? `w${Math.floor(i / 2) + 1}, to ${j + 1} from ${k + 1}` : `b${(i + 1) / 2}, of ${k + 1}`;
    places[name] = Array.isArray(line) ? [i, k, j] : [i, k];
  })));
  const names = Object.keys(places);
  const parameter = choice(controls, "parameter", Object.fromEntries(names.map((name) => [name, name])), reset);
  const value = slider(controls, "its value", -3, 3, 0, draw);
  const text = element(controls, "p", { "aria-live": "polite" });
  parameter.value = "w2, to 1 from 1";

  const entry = (parts) => places[parameter.value].reduce((part, index) => part[index], parts);
  function evaluate(number) {
    const parameters = JSON.parse(JSON.stringify(start.parameters));
    const place = places[parameter.value];
    place.slice(0, -1).reduce((part, index) => part[index], parameters)[place.at(-1)] = number;
    const { cost, gradients } = network({ ...start, parameters });
    return { cost, slope: entry(gradients) };
  }
  function reset() {
    value.show(entry(start.parameters));
    draw();
  }
  function draw() {
    const now = Number(value.value);
    const { cost, slope } = evaluate(now);
    const low = 0.25; // of the losses that the plane shows: from -0.25 to 0.75
    const points = Array.from({ length: 121 }, (_, k) => -3 + k / 20);
    drawing.clear();
    drawing.line([-3.2, -low], [3.2, -low], "pale");
    drawing.curve(points.map((w) => [w, evaluate(w).cost - low]), "zero");
    drawing.line([now - 1, cost - slope - low], [now + 1, cost + slope - low], "pull");
    drawing.dot([now, cost - low], "one");
    text.textContent = `L = ${cost.toFixed(4)}, derivative ${slope.toFixed(4)}`;
  }
  reset();
}

function playBlanks(figure, start) {
  const controls = element(figure, "div", { class: "controls" });
  const names = Object.fromEntries(start.blanks.map((blank, k) => [k, blank.name]));
  const which = choice(controls, "blank", names, ask);
  const formula = element(controls, "p");
  const given = element(controls, "pre");
  const cells = element(controls, "div");
  const text = element(controls, "p", { "aria-live": "polite" });
  const close = (a, b) => a.every((v, k) => Math.abs(v - b[k]) <= 1e-3 * Math.max(...b.map(Math.abs)));

  function ask() {
    const blank = start.blanks[which.value];
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
    const blank = start.blanks[which.value];
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
  const drawing = plane(figure, [11, 5], "Two matrices as rectangles, and their product", 0.5);
  const controls = element(figure, "div", { class: "controls" });
  const wanted = choice(controls, "wanted", { Z: "Z - b", dX: "dX", dW: "dW" }, draw);
  const names = ["X", "Xᵀ", "W", "Wᵀ", "dZ", "dZᵀ"];
  const options = Object.fromEntries(names.map((name) => [name, name]));
  const [left, right] = ["left", "right"].map((name) => choice(controls, name, options, draw));
  const sizes = ["n", "d", "m"].map((name) => slider(controls, name, 1, 6, start[name], draw, whole));
  const text = element(controls, "p", { "aria-live": "polite" });
  const correct = { Z: ["X", "W"], dX: ["dZ", "Wᵀ"], dW: ["Xᵀ", "dZ"] };
  [wanted.value, left.value, right.value] = ["dW", "X", "dZ"];

  function draw() {
    const [n, d, m] = sizes.map((input) => Math.round(input.value));
    const shapes = { X: [n, d], W: [d, m], dZ: [n, m], Z: [n, m], dX: [n, d], dW: [d, m] };
    const shapeOf = (name) => (name.endsWith("ᵀ") ? shapes[name.slice(0, -1)].slice().reverse() : shapes[name]);
    const [a, b] = [shapeOf(left.value), shapeOf(right.value)];
    const product = productShape(a, b);
    drawing.clear();
    let x = -10.5;
    for (const [name, shape, look] of [[left.value, a, "zero"], [right.value, b, "one"], ["", product, "result"]]) {
      if (!shape) continue;
      const [height, width] = shape.map((size) => 0.9 * size);
      drawing.rectangle([x, -height / 2], width, height, look);
      drawing.write([x + width / 2, 4.2], `${name} (${shape})`);
      x += width + 1.2;
    }
    text.textContent = verdict(a, b, product, shapes[wanted.value]);
  }
  function verdict(a, b, product, shape) {
    if (!product) return `${a[1]} columns meet ${b[0]} rows: there is no such product.`;
    if (String(product) !== String(shape)) return `The product exists, but its shape is (${product}), not (${shape}).`;
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
    });
  }
  function draw() {
    const z = logits.map((input) => Number(input.value));
    const { p, cost, dz } = softmax({ z, c: Number(truth.value), T: Number(temperature.value), loss: loss.value });
    drawing.clear();
    drawing.line([-1.5, 0], [1.5, 0], "ink");
    bars(-1.3, p, "zero");
    bars(0.5, dz, "one");
    const show = (values) => values.map((value) => value.toFixed(4)).join(", ");
    text.textContent = `p = (${show(p)}), on the left; dz = (${show(dz)}), on the right; L = ${cost.toFixed(4)}`;
  }
  draw();
}

function playDifference(figure, start) {
  const drawing = plane(figure, [6.5, 8], "Errors of finite differences over the step, in logarithmic scales", 0.8);
  const controls = element(figure, "div", { class: "controls" });
  const exponent = slider(controls, "log10 of h", -12, -0.5, start.exponent, draw);
  const fault = slider(controls, "log10 of the fault", -13, -1, start.fault, draw);
  const precision = choice(controls, "precision", { double: "float64", single: "float32" }, draw);
  const kind = choice(controls, "difference", { central: "central", oneSided: "one-sided" }, draw);
  const text = element(controls, "p", { "aria-live": "polite" });

  function errors(power) {
    const found = difference({ w: start.w, h: 10 ** power, single: precision.value === "single" });
    const error = (slope) => Math.max(Math.abs(found[kind.value] / slope - 1), 1e-14);
    return { right: error(found.derivative), wrong: error(found.derivative * (1 + 10 ** fault.value)) };
  }
  function draw() {
    const powers = Array.from({ length: 240 }, (_, k) => -12 + (11.5 * k) / 239);
    const place = (power, error) => [power + 6.25, Math.log10(error) + 7];
    drawing.clear();
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
  const drawing = plane(figure, [52, 2.2], "Loss curves of the right network, dashed, and of one with a mistake", 0.7);
  const controls = element(figure, "div", { class: "controls" });
  const text = element(controls, "p", { "aria-live": "polite" });
  const clues = element(controls, "pre");
  const actions = { "next network": next, "show gradient check": check };
  start.mistakes.forEach((mistake) => { actions[mistake.name] = () => guess(mistake); });
  buttons(controls, actions);
  let now = -1;

  function next() {
    now = (now + 1 + Math.floor(Math.random() * (start.mistakes.length - 1))) % start.mistakes.length;
    const place = (loss, epoch) => [epoch - 49.5, Math.log(loss) + 1.7];
    drawing.clear();
    drawing.curve(start.mistakes[now].right.map(place), "fault");
    drawing.curve(start.mistakes[now].wrong.map(place), "zero");
    text.textContent = "One of four mistakes is in this network (blue; dashed without it). Which one?";
    clues.textContent = "";
  }
  function check() {
    clues.textContent = start.mistakes[now].blocks
      .map(([name, cosine, ratio]) => `${name}: cosine ${cosine.toFixed(2)}, length ${ratio.toFixed(2)}`).join("\n");
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
