// The figures to play with of the pages about training.
"use strict";

function playLayers(figure, start) {
  const drawing = chart(figure, [0, 31], [-12.5, 5], "Size and spread of the weighted sums, layer by layer, in logarithmic scale", 0.7);
  const controls = element(figure, "div", { class: "controls" });
  const names = Object.fromEntries(Object.keys(ACTIVATIONS).map((name) => [name, name]));
  const activation = choice(controls, "activation", names, draw);
  const gain = slider(controls, "n times variance", 0.2, 4, start.gain, draw);
  const width = slider(controls, "width n", 2, start.width, start.width, draw, whole);
  const depth = slider(controls, "layers", 2, start.W.length, start.W.length, draw, whole);
  const text = element(controls, "p", { "aria-live": "polite" });

  function draw() {
    const f = ACTIVATIONS[activation.value];
    const n = Number(width.value);
    const scale = Math.sqrt(gain.value / n);
    let rows = start.X.map((row) => row.slice(0, n));
    const layers = start.W.slice(0, Number(depth.value)).map((W) => {
      rows = rows.map((row) => W.slice(0, n).map((line) => scale * sum(row.map((value, k) => line[k] * value))));
      const seen = spread(rows);
      rows = rows.map((row) => row.map(f));
      return seen;
    });
    const place = (value, l) => [l + 1, Math.max(Math.log10(value), -12)];
    drawing.clear();
    drawing.name("layer", "log of the size");
    drawing.line([0.5, 0], [30.5, 0], "pale");
    drawing.curve(layers.map((seen, l) => place(seen.size, l)), "fault");
    drawing.curve(layers.map((seen, l) => place(seen.between, l)), "zero");
    const last = layers.at(-1);
    text.textContent = `layer ${layers.length}: size ${last.size.toExponential(1)} (dashed), ` +
      `spread between rows ${last.between.toExponential(1)} (solid)`;
  }
  draw();
}

function playEpochs(figure, start) {
  const drawing = plane(figure, [1.1, 1.1], "The decision boundary of an overfitting network");
  const controls = element(figure, "div", { class: "controls" });
  const curves = chart(controls, [-0.1, 2.9], [-2.6, 2], "The losses by epoch, both in logarithmic scale", 0.5);
  const moment = slider(controls, "moment", 0, start.epochs.length - 1, 0, draw, whole);
  buttons(controls, { "ship this one": ship });
  const text = element(controls, "p", { "aria-live": "polite" });
  const best = start.epochs.reduce((a, b) => (b.newLoss < a.newLoss ? b : a));

  function draw() {
    const k = Math.round(moment.value);
    const { epoch, loss, newLoss, accuracy, newAccuracy, classes } = start.epochs[k];
    drawing.clear();
    [...classes].forEach((label, i) => paint(drawing, i, label === "1"));
    start.X.forEach((x, r) => drawing.dot(x, start.y[r] ? "one" : "zero", 2.5));
    const place = (key) => (at) => [Math.log10(at.epoch), Math.log(at[key])];
    curves.clear();
    curves.name("log of the epoch", "log of the loss");
    curves.line([Math.log10(epoch), -2.6], [Math.log10(epoch), 2], "pale");
    curves.curve(start.epochs.map(place("loss")), "zero");
    curves.curve(start.epochs.map(place("newLoss")), "fault");
    const percent = (share) => `${Math.round(100 * share)} %`;
    text.textContent = `epoch ${epoch}: loss ${loss.toFixed(2)} on its own rows (solid), ${newLoss.toFixed(2)} on new ones ` +
      `(dashed); right on ${percent(accuracy)} and ${percent(newAccuracy)}`;
  }
  function ship() {
    const { epoch, newLoss } = start.epochs[Math.round(moment.value)];
    const advice = epoch < best.epoch ? "A little later it is better still." : "It has begun to memorize: go back.";
    text.textContent = epoch === best.epoch ? `Yes: no epoch shown here has a lower loss on new rows than ${epoch}.`
      : `Its loss on new rows is ${newLoss.toFixed(2)}; the lowest is ${best.newLoss.toFixed(2)}. ${advice}`;
  }
  draw();
}

function playRace(figure, start) {
  const reach = [11, 1.8];
  const drawing = plane(figure, reach, "The paths of four optimizers over the contours of a valley", 0.7);
  const controls = element(figure, "div", { class: "controls" });
  const rates = Object.fromEntries(start.racers.map((racer) => [racer.name, Math.log10(racer.rate)]));
  const names = Object.fromEntries(start.racers.map(({ name }) => [name, name]));
  const racer = choice(controls, "change the rate of", names, () => { rate.show(rates[racer.value]); draw(); });
  const rate = slider(controls, "its rate", -3, 1, rates[racer.value], adjust, (power) => (10 ** power).toPrecision(2));
  const curvature = slider(controls, "steepness", 1, 100, start.curvature, draw, whole);
  const steps = slider(controls, "steps", 0, 100, start.steps, draw, whole);
  buttons(controls, { "race": () => run(0) });
  const text = element(controls, "ul", { "aria-live": "polite" });
  const looks = ["zero", "fault", "third", "fourth"];

  function adjust() {
    rates[racer.value] = Number(rate.value);
    draw();
  }
  function run(step) {
    steps.show(step);
    draw();
    if (step < start.steps) window.setTimeout(() => run(step + 1), 80);
  }
  function draw() {
    const curvatures = [1, Number(curvature.value)];
    const cost = (t) => sum(t.map((value, i) => curvatures[i] * value * value)) / 2;
    drawing.clear();
    for (const share of [0.02, 0.08, 0.2, 0.4, 0.7, 1]) {
      const H = [[1, 0], [0, curvatures[1]]];
      drawing.curve(contour({ H, center: [0, 0], level: share * cost(start.t) }), "pale");
    }
    text.replaceChildren();
    start.racers.forEach(({ name, rule, momentum }, k) => {
      const options = { rule, momentum, rate: 10 ** rates[name], curvatures };
      const path = descent({ t: start.t, steps: Number(steps.value), ...options });
      const inside = path.findIndex((t) => t.some((value, i) => Math.abs(value) > 3 * reach[i]));
      drawing.curve(inside < 0 ? path : path.slice(0, inside), looks[k]);
      if (inside < 0) drawing.dot(path.at(-1), looks[k], 3);
      const end = cost(path.at(-1));
      const line = element(text, "li", { class: looks[k] });
      line.textContent = `${name}, rate ${options.rate.toPrecision(2)}: C = ${end < 1e5 ? end.toPrecision(3) : "far away"}`;
    });
  }
  draw();
}

function playBatches(figure, start) {
  const drawing = chart(figure, [-1.4, 2.6], [-1.4, 2], "Steps of gradient descent over the contours of a cost", 0.85);
  const controls = element(figure, "div", { class: "controls" });
  const size = slider(controls, "rows per step", 1, start.x.length, start.size, draw, whole);
  const rate = slider(controls, "learning rate", 0.02, 1.5, start.rate, draw);
  buttons(controls, {
    "shuffle": () => {
      const random = (order) => order.map((r) => [Math.random(), r]).sort((p, q) => p[0] - q[0]).map((pair) => pair[1]);
      orders = orders.map(random);
      draw();
    },
  });
  const text = element(controls, "p", { "aria-live": "polite" });
  let orders = start.orders;

  function draw() {
    const rows = Number(size.value);
    const path = lineDescent({ ...start, orders, size: rows, rate: Number(rate.value) });
    const lowest = lineCost({ ...start, line: start.best });
    drawing.clear();
    drawing.name("w", "b");
    for (const level of [0.02, 0.1, 0.3, 0.6, 1, 1.5]) {
      drawing.curve(contour({ H: start.H, center: start.best, level }), "pale");
    }
    drawing.curve(path, "zero");
    path.forEach((line) => drawing.dot(line, "zero", 1.5));
    drawing.dot(start.best, "one", 3);
    const cost = lineCost({ ...start, line: path.at(-1) });
    text.textContent = `${Math.ceil(start.x.length / rows)} steps per epoch; after ${orders.length} epochs ` +
      `C = ${cost < 1e3 ? cost.toFixed(4) : "far away"}. The lowest possible C is ${lowest.toFixed(4)}.`;
  }
  draw();
}

function playStretch(figure, start) {
  const drawing = plane(figure, [1.4, 1.4], "Contours of the cost of two weights, and steps of gradient descent");
  const controls = element(figure, "div", { class: "controls" });
  const power = slider(controls, "unit of column 2", 0, 1.5, Math.log10(start.factor), draw, (p) => `× ${(10 ** p).toFixed(1)}`);
  buttons(controls, {
    "standardize": () => {
      power.show(0);
      draw();
    },
  });
  const text = element(controls, "p", { "aria-live": "polite" });

  function draw() {
    const f = 10 ** power.value;
    const [[a, b], [, c]] = start.H;
    const H = [[a, f * b], [f * b, f * f * c]];
    const cost = ([u, v]) => (H[0][0] * u * u + 2 * H[0][1] * u * v + H[1][1] * v * v) / 2;
    const { path, ratio } = quadratic({ H, t: start.t, steps: 5000 });
    drawing.clear();
    drawing.name("w₁", "w₂");
    for (const share of [0.05, 0.2, 0.45, 0.8, 1.25]) {
      drawing.curve(contour({ H, center: [0, 0], level: (share * (a + f * f * c)) / 2 }), "pale");
    }
    drawing.curve(path.slice(0, 16), "zero");
    path.slice(0, 16).forEach((t) => drawing.dot(t, "zero", 1.8));
    const enough = path.findIndex((t) => cost(t) < 0.01 * cost(start.t));
    text.textContent = `Curvatures in the ratio ${ratio.toPrecision(3)}. At the best constant learning rate, ` +
      `the cost is below a hundredth after ${enough} steps; the figure shows 15.`;
  }
  draw();
}

function playRuns(figure, start) {
  const drawing = chart(figure, [-1, start.epochs], [-0.15, 1.6], "Training loss, solid, and validation loss, dashed", 0.8);
  const controls = element(figure, "div", { class: "controls" });
  const inputs = Object.entries(start.settings).map(([name, values]) =>
    slider(controls, name, 0, values.length - 1, start.shown[name], draw, (k) => String(values[Math.round(k)])));
  inputs.forEach((input) => { input.step = 1; });
  const text = element(controls, "p", { "aria-live": "polite" });

  function draw() {
    const run = start.runs[inputs.map((input) => input.value).join(" ")];
    const place = (loss, k) => [2 * k, Math.min(loss, 3)];
    drawing.clear();
    drawing.name(`${start.epochs} epochs`, "loss");
    drawing.line([0, 0], [start.epochs, 0], "ink");
    drawing.line([0, Math.LN2], [start.epochs, Math.LN2], "pale");
    drawing.curve(run.loss.map(place), "zero");
    drawing.curve(run.validation.map(place), "fault");
    text.textContent = `At the end, loss ${run.loss.at(-1).toFixed(2)} on the training rows (solid) and ` +
      `${run.validation.at(-1).toFixed(2)} on the validation rows (dashed); the gray line is ln 2. ` +
      `diagnose: ${run.findings.join(", ") || "nothing to report"}.`;
  }
  draw();
}

function playFolds(figure, start) {
  const drawing = chart(figure, [-0.05, 1.05], [-0.1, 1.12], "A line that layers have folded", 0.7);
  const controls = element(figure, "div", { class: "controls" });
  const layers = slider(controls, "layers", 0, 8, start.layers, draw, whole);
  const knot = slider(controls, "place of the fold", 0.2, 0.8, start.knot, draw);
  const height = slider(controls, "height", 0.3, 1, start.height, draw);
  buttons(controls, {
    "add a layer": () => {
      layers.show(Math.min(Number(layers.value) + 1, 8));
      draw();
    },
  });
  const text = element(controls, "p", { "aria-live": "polite" });

  function draw() {
    const [n, units] = [Number(layers.value), 2 * layers.value];
    const corners = fold({ layers: n, knot: Number(knot.value), height: Number(height.value) });
    drawing.clear();
    drawing.name("x", "output");
    drawing.line([0, 0], [1, 0], "pale");
    drawing.line([0, knot.value], [1, knot.value], "pale");
    drawing.curve(corners, "zero");
    text.textContent = `Layers: ${n}, with ${units} ReLU units in all. Straight pieces: ${corners.length - 1}. ` +
      `One layer of ${units} units makes at most ${units + 1}.`;
  }
  draw();
}

function playKinks(figure, start) {
  const drawing = chart(figure, [-0.2, 1.2], [-1.25, 1.25], "A curve, and a sum of ReLU units with its kinks", 0.65, 260);
  const controls = element(figure, "div", { class: "controls" });
  const target = choice(controls, "target", Object.fromEntries(Object.keys(start.targets).map((name) => [name, name])), draw);
  const count = slider(controls, "ReLU units", 1, 16, start.units, () => place(flat()), whole);
  const across = slider(controls, "place of a point", 0, 1, 0, () => move([Number(across.value), Number(up.value)]));
  const up = slider(controls, "its height", -1.2, 1.2, 0, () => move([Number(across.value), Number(up.value)]));
  buttons(controls, {
    "next point": () => { chosen = (chosen + 1) % cornersOf(units).length; show(); },
    "all on the curve": fit,
    "train": train,
    "flat again": () => place(flat()),
  });
  const text = element(controls, "p", { "aria-live": "polite" });
  let units, chosen = 1, run = 0;

  const truth = () => start.targets[target.value];
  const flat = () => Array.from({ length: Number(count.value) + 1 }, (_, k) => [k / count.value, 0]);
  const height = (x) => {
    const at = x * (start.x.length - 1);
    const k = Math.min(Math.floor(at), start.x.length - 2);
    return truth()[k] + (at - k) * (truth()[k + 1] - truth()[k]);
  };
  function place(points) {
    run += 1; // stops the training
    units = unitsOf({ points });
    show();
  }
  function fit() {
    place(cornersOf(units).map(([x]) => [x, height(x)]));
  }
  function show() {
    const points = cornersOf(units);
    chosen = Math.min(chosen, points.length - 1);
    across.show(points[chosen][0]);
    up.show(points[chosen][1]);
    draw();
  }
  function move([x, y]) {
    const points = cornersOf(units);
    const [before, here, after] = [-1, 0, 1].map((k) => points[chosen + k]?.[0]);
    const isEnd = before === undefined || after === undefined;
    points[chosen] = [isEnd ? here : Math.min(Math.max(x, before + 0.01), after - 0.01), Math.min(Math.max(y, -1.2), 1.2)];
    place(points);
  }
  function train() {
    const turn = (run += 1);
    const flattened = ({ w, b, v, c }) => [...w, ...b, ...v, c];
    const memory = flattened(units).map(() => ({ mean: 0, square: 0, steps: 0 }));
    const steps = (left) => {
      if (run !== turn) return;
      for (let k = 0; k < 25; k++) {
        const gradient = flattened(unitsCost({ x: start.x, y: truth(), units }));
        const moved = flattened(units).map((value, i) => value + RULES.adam(gradient[i], memory[i], { rate: start.rate }));
        const n = units.w.length;
        units = { w: moved.slice(0, n), b: moved.slice(n, 2 * n), v: moved.slice(2 * n, 3 * n), c: moved[3 * n] };
      }
      show();
      if (left > 0) window.setTimeout(() => steps(left - 1), 30);
    };
    steps(60);
  }
  function draw() {
    const points = cornersOf(units);
    drawing.clear();
    drawing.name("x", "output");
    drawing.line([-0.2, 0], [1.2, 0], "pale");
    drawing.curve(start.x.map((x, r) => [x, truth()[r]]), "fault");
    drawing.curve([-0.2, ...points.map((point) => point[0]), 1.2].map((x) => [x, unitSum(units, x)]), "zero");
    points.forEach((point, k) => drawing.dot(point, k === chosen ? "one" : "zero", 4));
    const { cost } = unitsCost({ x: start.x, y: truth(), units });
    text.textContent = `${units.w.length} units, ${points.length - 2} kinks between 0 and 1; C = ${cost.toFixed(5)}`;
  }
  drawing.follow(move, ([x, y]) => {
    const distances = cornersOf(units).map((point) => Math.hypot(point[0] - x, (point[1] - y) / 2));
    chosen = distances.indexOf(Math.min(...distances));
  });
  place(flat());
}

function playTemperature(figure, start) {
  const drawing = chart(figure, [-0.1, 1.05], [-0.2, 1.05], "A calibration curve, with the diagonal");
  const controls = element(figure, "div", { class: "controls" });
  const power = slider(controls, "temperature", -0.5, 1.5, Math.log10(start.T), draw, (p) => (10 ** p).toFixed(2));
  buttons(controls, {
    "find the lowest loss": () => {
      const powers = Array.from({ length: 201 }, (_, k) => k / 100 - 0.5);
      const costs = powers.map((p) => reliability({ ...start, T: 10 ** p }).cost);
      power.show(powers[costs.indexOf(Math.min(...costs))]);
      draw();
    },
  });
  const text = element(controls, "p", { "aria-live": "polite" });
  const right = start.z.filter((z, r) => (z > 0) === (start.y[r] === 1)).length / start.z.length;

  function draw() {
    const { cost, error, curve } = reliability({ ...start, T: 10 ** power.value });
    drawing.clear();
    drawing.name("predicted probability", "observed frequency");
    drawing.line([0, 0], [1, 1], "pale");
    curve.forEach(({ predicted, rows }) => {
      drawing.line([predicted, -0.12], [predicted, -0.12 + (0.6 * rows) / start.z.length], "bin");
    });
    drawing.curve(curve.map(({ predicted, observed }) => [predicted, observed]), "zero");
    curve.forEach(({ predicted, observed }) => drawing.dot([predicted, observed], "zero"));
    text.textContent = `loss ${cost.toFixed(3)}, calibration error ${error.toFixed(3)}; ` +
      `right on ${(100 * right).toFixed(1)} % of ${start.z.length} points at every temperature. Bars: shares of the points.`;
  }
  draw();
}

Object.assign(FIGURES, {
  initialization: playLayers,
  optimizers: playRace,
  batches: playBatches,
  overfitting: playEpochs,
  scaling: playStretch,
  learning_curves: playRuns,
  approximation: playKinks,
  depth: playFolds,
  calibration: playTemperature,
});
