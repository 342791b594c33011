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

/** The path of gradient descent with momentum on C = (curvatures . t^2) / 2. */
function descent({ t, curvatures, rate, momentum, steps }) {
  const path = [t.slice()];
  let velocity = t.map(() => 0);
  for (let k = 0; k < steps; k++) {
    const last = path[k];
    velocity = velocity.map((v, i) => momentum * v - rate * curvatures[i] * last[i]);
    path.push(last.map((value, i) => value + velocity[i]));
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

/** The activations, elementwise. */
const ACTIVATIONS = {
  relu: (z) => Math.max(z, 0),
  tanh: Math.tanh,
  sigmoid,
  silu: (z) => z * sigmoid(z),
};

/** The shape of a product of two matrices, or null if it does not exist. */
function productShape([rows, inner], [other, columns]) {
  return inner === other ? [rows, columns] : null;
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

if (typeof module !== "undefined") {
  module.exports = { neuron, descent, softmax, network, difference, ACTIVATIONS, productShape, spread };
}
