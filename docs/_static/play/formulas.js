// The formulas of the figures to play with; tests/test_play.py compares them with the library.
"use strict";

const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const sum = (values) => values.reduce((a, b) => a + b, 0);

/** The losses, their derivatives delta with respect to z, and the mean gradient of a neuron. */
function neuron({ X, y, w, b, loss }) {
  const z = X.map((x) => x[0] * w[0] + x[1] * w[1] + b);
  const a = z.map(sigmoid);
  const squared = loss === "squared_error";
  const delta = a.map((p, r) => (p - y[r]) * (squared ? p * (1 - p) : 1));
  const losses = z.map((t, r) =>
    squared ? (a[r] - y[r]) ** 2 / 2 : Math.max(t, 0) - y[r] * t + Math.log1p(Math.exp(-Math.abs(t))));
  const mean = (values) => sum(values) / X.length;
  const dw = [0, 1].map((k) => mean(delta.map((d, r) => d * X[r][k])));
  return { a, delta, cost: mean(losses), dw, db: mean(delta) };
}

/** The change of a parameter by its derivative g, and by the numbers m that an optimizer keeps for it. */
const RULES = {
  momentum: (g, m, { rate, momentum }) => (m.velocity = momentum * m.velocity - rate * g),
  rmsprop: (g, m, { rate }) => {
    m.square = 0.9 * m.square + 0.1 * g * g;
    return (-rate * g) / (Math.sqrt(m.square) + 1e-8);
  },
  adam: (g, m, { rate }) => {
    m.steps += 1;
    m.mean = 0.9 * m.mean + 0.1 * g;
    m.square = 0.999 * m.square + 0.001 * g * g;
    const size = Math.sqrt(m.square / (1 - 0.999 ** m.steps)) + 1e-8;
    return ((-rate * m.mean) / (1 - 0.9 ** m.steps)) / size;
  },
};

/**
 * The path of an optimizer on C = (curvatures . t^2) / 2; `options` has its momentum. Each step adds its `noise` to the
 * gradient; a falling rate goes to 0 along half a cosine.
 */
function descent({ t, curvatures, steps, rate, falling = false, noise = [], rule = "momentum", ...options }) {
  const path = [t.slice()];
  const memory = t.map(() => ({ velocity: 0, mean: 0, square: 0, steps: 0 }));
  for (let k = 0; k < steps; k++) {
    const now = falling ? (rate * (1 + Math.cos((Math.PI * k) / steps))) / 2 : rate;
    const gradient = path[k].map((value, i) => curvatures[i] * value + (noise[k]?.[i] ?? 0));
    path.push(path[k].map((value, i) => value + RULES[rule](gradient[i], memory[i], { rate: now, ...options })));
  }
  return path;
}

/** The steepest-descent path of t on C = t'Ht / 2 at the best constant rate, and the ratio of the curvatures of H. */
function quadratic({ H: [[a, b], [, c]], t, steps }) {
  const middle = (a + c) / 2;
  const half = Math.hypot((a - c) / 2, b);
  const path = [t];
  for (let k = 0; k < steps; k++) {
    const [u, v] = path[k];
    path.push([u - (a * u + b * v) / middle, v - (b * u + c * v) / middle]);
  }
  return { path, ratio: (middle + half) / (middle - half) };
}

/** Points of the contour on which (t - center)'H(t - center) / 2 is a level. */
function contour({ H: [[a, b], [, c]], center, level }) {
  const [p, q] = [Math.sqrt(a), b / Math.sqrt(a)];
  const r = Math.sqrt(c - q * q); // H = R'R with the rows (p, q) and (0, r) of R
  return Array.from({ length: 73 }, (_, k) => {
    const [u, v] = [Math.cos, Math.sin].map((f) => Math.sqrt(2 * level) * f((k * Math.PI) / 36));
    return [center[0] + (u - (q * v) / r) / p, center[1] + v / r];
  });
}

/** The cost of a line (w, b) through points: the mean of (wx + b - y)^2 / 2. */
const lineCost = ({ x, y, line: [w, b] }) => sum(x.map((value, r) => (w * value + b - y[r]) ** 2)) / 2 / x.length;

/** The lines after each step of gradient descent, whose batches are `size` rows of each of the `orders`. */
function lineDescent({ x, y, line, orders, size, rate }) {
  const path = [line];
  for (const order of orders) {
    for (let k = 0; k < order.length; k += size) {
      const [w, b] = path.at(-1);
      const rows = order.slice(k, k + size);
      const errors = rows.map((r) => w * x[r] + b - y[r]);
      const dw = sum(errors.map((error, i) => error * x[rows[i]])) / rows.length;
      path.push([w - rate * dw, b - (rate * sum(errors)) / rows.length]);
    }
  }
  return path;
}

/** Softmax of z / T, the loss for the true class c, and its derivative with respect to z / T. */
function softmax({ z, c, T, loss }) {
  const largest = Math.max(...z) / T;
  const e = z.map((value) => Math.exp(value / T - largest));
  const p = e.map((value) => value / sum(e));
  const error = p.map((value, k) => value - (k === c ? 1 : 0));
  if (loss === "squared_error") {
    const mean = sum(p.map((value, k) => value * error[k]));
    return { p, cost: sum(error.map((d) => d * d)) / 2, dz: p.map((value, k) => value * (error[k] - mean)) };
  }
  return { p, cost: Math.log(sum(e)) + largest - z[c] / T, dz: error };
}

/** Forward and backward pass of two sigmoid layers with the squared error, for the rows of X and one-hot Y. */
function network({ X, Y, parameters: [W1, b1, W2, b2] }) {
  const layer = (rows, W, b) => rows.map((row) => b.map((bias, j) => sigmoid(bias + sum(row.map((v, k) => v * W[k][j])))));
  const A1 = layer(X, W1, b1);
  const A2 = layer(A1, W2, b2);
  const n = X.length;
  const dZ2 = A2.map((row, r) => row.map((a, j) => ((a - Y[r][j]) * a * (1 - a)) / n));
  const dZ1 = A1.map((row, r) => row.map((a, k) => sum(dZ2[r].map((d, j) => d * W2[k][j])) * a * (1 - a)));
  const outer = (rows, dZ, W) => W.map((line, k) => line.map((_, j) => sum(rows.map((row, r) => row[k] * dZ[r][j]))));
  const total = (dZ) => dZ[0].map((_, j) => sum(dZ.map((row) => row[j])));
  const cost = sum(A2.map((row, r) => sum(row.map((a, j) => (a - Y[r][j]) ** 2)))) / 2 / n;
  return { A2, cost, gradients: [outer(X, dZ1, W1), total(dZ1), outer(A1, dZ2, W2), total(dZ2)] };
}

/**
 * The values of that network for one row, and for each path from a parameter to the loss the derivatives along it. The
 * place of the parameter is the index of its array, its row and its column; of a bias, its entry.
 */
function paths({ x, y, parameters: [W1, b1, W2, b2], place: [part, k, j = k] }) {
  const layer = (inputs, W, b) => b.map((bias, to) => bias + sum(inputs.map((v, from) => v * W[from][to])));
  const slope = (a) => a * (1 - a);
  const z1 = layer(x, W1, b1);
  const a1 = z1.map(sigmoid);
  const z2 = layer(a1, W2, b2);
  const a2 = z2.map(sigmoid);
  const input = part % 2 ? 1 : [x, a1][part / 2][k];
  const end = (output) => [slope(a2[output]), a2[output] - y[output]];
  const found = part < 2
    ? a2.map((_, output) => ({ output, factors: [input, slope(a1[j]), W2[j][output], ...end(output)] }))
    : [{ output: j, factors: [input, ...end(j)] }];
  const withProduct = ({ output, factors }) => ({ output, factors, product: factors.reduce((a, b) => a * b) });
  const cost = sum(a2.map((a, i) => (a - y[i]) ** 2)) / 2;
  return { z1, a1, z2, a2, cost, to: j, paths: found.map(withProduct) };
}

/** Finite differences of C(w) = sigmoid(w)^2 in a precision, and its derivative; `round` is Math.fround in float32. */
function difference({ w, h, single }) {
  const round = single ? Math.fround : (value) => value;
  const cost = (v) => {
    const a = round(1 / round(1 + round(Math.exp(-v))));
    return round(a * a);
  };
  const [above, here, below] = [round(w + h), w, round(w - h)].map(cost);
  const a = sigmoid(w);
  return { central: round(above - below) / (2 * h), oneSided: round(above - here) / h, derivative: 2 * a * a * (1 - a) };
}

const relu = (z) => Math.max(z, 0);

/** The activations, elementwise. */
const ACTIVATIONS = {
  relu,
  tanh: Math.tanh,
  sigmoid,
  silu: (z) => z * sigmoid(z),
};

/** The product of two matrices, or null if it does not exist. */
function product(A, B) {
  if (A[0].length !== B.length) return null;
  return A.map((row) => B[0].map((_, j) => sum(row.map((a, k) => a * B[k][j]))));
}

/** The standard deviation of each column of rows, averaged over the columns, and the root mean square of all entries. */
function spread(rows) {
  const deviations = rows[0].map((_, k) => {
    const mean = sum(rows.map((row) => row[k])) / rows.length;
    return Math.sqrt(sum(rows.map((row) => (row[k] - mean) ** 2)) / rows.length);
  });
  const square = sum(rows.map((row) => sum(row.map((v) => v * v)))) / (rows.length * rows[0].length);
  return { between: sum(deviations) / deviations.length, size: Math.sqrt(square) };
}

/** The corners of the line y = x from 0 to 1 after layers that fold it at a knot to a height with two ReLU units each. */
function fold({ layers, knot, height }) {
  let corners = [[0, 0], [1, 1]];
  for (let l = 0; l < layers; l++) {
    corners = corners.flatMap(([x, y], i) => {
      const [before, low] = corners[i - 1] ?? [x, y];
      const share = (knot - low) / (y - low);
      return share > 0 && share < 1 ? [[before + share * (x - before), knot], [x, y]] : [[x, y]];
    });
    corners = corners.map(([x, y]) => [x, (height / knot) * relu(y) - height * (1 / knot + 1 / (1 - knot)) * relu(y - knot)]);
  }
  return corners;
}

/** The ReLU units whose sum is the piecewise-linear curve through points, x increasing; it begins at the first one. */
function unitsOf({ points }) {
  const slopes = points.slice(1).map(([x, y], i) => (y - points[i][1]) / (x - points[i][0]));
  return {
    w: slopes.map(() => 1),
    b: slopes.map((_, i) => -points[i][0]),
    v: slopes.map((slope, i) => slope - (slopes[i - 1] ?? 0)),
    c: points[0][1],
  };
}

/** The sum of ReLU units at x. */
const unitSum = ({ w, b, v, c }, x) => c + sum(w.map((weight, j) => v[j] * relu(weight * x + b[j])));

/** The points from 0 to 1 between which that sum is straight: both ends, and the kinks between them. */
function cornersOf(units) {
  const kinks = units.w.map((weight, j) => -units.b[j] / weight).filter((x) => x > 1e-3 && x < 1 - 1e-3);
  return [0, ...kinks.sort((p, q) => p - q), 1].map((x) => [x, unitSum(units, x)]);
}

/** The mean of (sum - y)^2 / 2 over points, and its gradient. */
function unitsCost({ x, y, units }) {
  const { w, b, v } = units;
  const errors = x.map((value, r) => (unitSum(units, value) - y[r]) / x.length);
  const through = (j) => errors.map((error, r) => (w[j] * x[r] + b[j] > 0 ? error : 0));
  return {
    cost: (sum(errors.map((error) => error * error)) * x.length) / 2,
    w: w.map((_, j) => v[j] * sum(through(j).map((error, r) => error * x[r]))),
    b: w.map((_, j) => v[j] * sum(through(j))),
    v: w.map((_, j) => sum(through(j).map((error, r) => error * (w[j] * x[r] + b[j])))),
    c: sum(errors),
  };
}

/** The loss of an error e = answer - y, and its derivative; q is that of the quantile. */
const ROW_LOSSES = {
  squared_error: (e) => [(e * e) / 2, e],
  huber: (e) => (Math.abs(e) <= 1 ? [(e * e) / 2, e] : [Math.abs(e) - 0.5, Math.sign(e)]),
  absolute_error: (e) => [Math.abs(e), Math.sign(e)],
  quantile: (e, q) => (e < 0 ? [-q * e, -q] : [(1 - q) * e, 1 - q]),
};

/** The cost of one answer to all rows, its derivative, and the pull of each row. */
function answerCost({ y, answer, loss, q }) {
  const rows = y.map((target) => ROW_LOSSES[loss](answer - target, q));
  const [cost, slope] = [0, 1].map((i) => sum(rows.map((row) => row[i])) / y.length);
  return { cost, slope, pulls: rows.map((row) => -row[1]) };
}

/** The answer with the lowest cost, by bisection: the derivative of each of these costs never falls. */
function bestAnswer({ y, loss, q }) {
  let [low, high] = [Math.min(...y), Math.max(...y)];
  for (let k = 0; k < 60; k++) {
    const answer = (low + high) / 2;
    if (answerCost({ y, answer, loss, q }).slope < 0) low = answer;
    else high = answer;
  }
  return high;
}

/** The calibration curve of the probabilities sigmoid(z / T) in ten bins, its error, and the cross-entropy. */
function reliability({ z, y, T }) {
  const p = z.map((value) => sigmoid(value / T));
  const bins = Array.from({ length: 10 }, () => ({ rows: 0, predicted: 0, observed: 0 }));
  p.forEach((value, r) => {
    const bin = bins[Math.max(Math.ceil(10 * value) - 1, 0)];
    bin.rows += 1;
    bin.predicted += value;
    bin.observed += y[r];
  });
  const { cost } = neuron({ X: z.map((value) => [value / T, 0]), y, w: [1, 0], b: 0, loss: "cross_entropy" });
  const error = sum(bins.map(({ predicted, observed }) => Math.abs(predicted - observed))) / p.length;
  const curve = bins.filter(({ rows }) => rows > 0);
  return { cost, error, curve: curve.map(({ rows, predicted, observed }) => ({ rows, predicted: predicted / rows, observed: observed / rows })) };
}

if (typeof module !== "undefined") {
  module.exports = {
    neuron, descent, quadratic, contour, lineCost, lineDescent, softmax, network, difference, ACTIVATIONS, product,
    spread, fold, paths, unitsOf, cornersOf, unitsCost, answerCost, bestAnswer, reliability,
  };
}
