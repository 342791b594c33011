// The curves: loss and metric of training and test rows, and the gradients of the layers, epoch by epoch.

import {$, fit, fixed, show} from "./dom.js";
import {color} from "./colors.js";

const canvas = $("curve"), MAX_ROWS = 3000;
let rows = [], stride = 1, metric = "accuracy";

/**
 * Forget the curves; `name` is that of the metric.
 * @param {string} name
 */
export function reset(name) {
  rows = [];
  stride = 1;
  metric = name;
  $("metric-name").textContent = name === "r2" ? "R²" : name;
}

/**
 * Add the rows of a frame: loss, test loss, metric, test metric, rate, then a gradient's norm for each layer.
 * @param {object} frame
 */
export function add(frame) {
  const {data, shape} = frame.arrays.curve;
  if (frame.first === 0) { rows = []; stride = 1; }
  for (let i = 0; i < shape[0]; i++) {
    const epoch = frame.first + i;
    if (epoch % stride) continue;
    rows.push([epoch, ...data.subarray(i * shape[1], (i + 1) * shape[1])]);
    if (rows.length > MAX_ROWS) { rows = rows.filter((_, k) => k % 2 === 0); stride *= 2; }
  }
  draw();
  showScores(frame.latest);
}

function showScores([loss, testLoss, score, testScore]) {
  const text = value => (metric === "accuracy" ? (value === null ? "–" : `${fixed(100 * value, 1)} %`) : fixed(value, 3));
  const name = metric === "accuracy" ? "accuracy" : "R²";
  const cells = [["", "training", "test"], ["loss", fixed(loss, 4), fixed(testLoss, 4)], [name, text(score), text(testScore)]];
  const box = $("scores");
  if (box.children.length !== 9) box.replaceChildren(...Array.from({length: 9}, () => document.createElement("span")));
  cells.flat().forEach((value, i) => { box.children[i].textContent = value; });
}

function series() {
  const kind = document.querySelector("input[name=curve]:checked").value;
  const train = {name: "training", color: color("ink"), dash: []}, test = {name: "test", color: color("accent"), dash: [5, 3]};
  if (kind === "loss") return [{...train, at: 1}, {...test, at: 2}];
  if (kind === "metric") return [{...train, at: 3}, {...test, at: 4}];
  const n = (rows[0]?.length ?? 6) - 6;
  return Array.from({length: n}, (_, k) => ({
    name: `W${k + 1}`, at: 6 + k, dash: k % 2 ? [5, 3] : [], color: n > 1 ? blend(k / (n - 1)) : color("ink"),
  }));
}

const blend = share => `color-mix(in srgb, ${color("negative")} ${100 * (1 - share)}%, ${color("positive")})`;

export function draw() {
  const {context, width, height} = fit(canvas), lines = series();
  context.clearRect(0, 0, width, height);
  if (rows.length < 1 || !width) return;
  const log = $("log-scale").checked, left = 38, bottom = height - 16, top = 14, right = width - 8;
  const value = v => (log ? Math.log10(Math.max(v, 1e-12)) : v);
  let low = Infinity, high = -Infinity;
  for (const row of rows) for (const {at} of lines) if (Number.isFinite(row[at])) {
    low = Math.min(low, value(row[at])); high = Math.max(high, value(row[at]));
  }
  if (!Number.isFinite(low)) return;
  if (!log && low > 0 && low < 0.6 * high) low = 0;
  if (high - low < 1e-9) { high += 0.5; low -= 0.5; }
  const last = Math.max(rows.at(-1)[0], 1);
  const x = epoch => left + (epoch / last) * (right - left), y = v => bottom - ((value(v) - low) / (high - low)) * (bottom - top);
  drawAxes(context, {left, right, top, bottom, low, high, log, last});
  for (const line of lines) {
    context.beginPath();
    rows.forEach((row, i) => (i ? context.lineTo(x(row[0]), y(row[line.at])) : context.moveTo(x(row[0]), y(row[line.at]))));
    context.strokeStyle = line.color;
    context.lineWidth = 1.6;
    context.setLineDash(line.dash);
    context.stroke();
  }
  context.setLineDash([]);
  if (lines.length <= 4) drawNames(context, lines, right, top);
  canvas.setAttribute("aria-label", `Learning curves over ${last} epochs: ${lines.map(line => `${line.name} ${show(rows.at(-1)[line.at])}`).join(", ")}`);
}

function drawAxes(context, {left, right, top, bottom, low, high, log, last}) {
  const text = v => show(log ? 10 ** v : v, 2);
  context.strokeStyle = color("line");
  context.fillStyle = color("pale");
  context.font = "11px system-ui, sans-serif";
  context.lineWidth = 1;
  context.beginPath();
  for (const at of [top, bottom]) { context.moveTo(left, at + 0.5); context.lineTo(right, at + 0.5); }
  context.stroke();
  context.textAlign = "right";
  context.fillText(text(high), left - 5, top + 4);
  context.fillText(text(low), left - 5, bottom + 4);
  context.fillText(`epoch ${last.toLocaleString("en")}`, right, bottom + 13);
  context.textAlign = "left";
  context.fillText("0", left, bottom + 13);
}

function drawNames(context, lines, right, top) {
  context.textAlign = "right";
  let x = right;
  for (const line of [...lines].reverse()) {
    context.fillStyle = line.color;
    context.fillText(line.name, x, top - 4);
    x -= context.measureText(line.name).width + 4;
    context.strokeStyle = line.color;
    context.setLineDash(line.dash);
    context.beginPath();
    context.moveTo(x - 18, top - 8); context.lineTo(x, top - 8);
    context.stroke();
    x -= 30;
  }
  context.setLineDash([]);
}

for (const input of document.querySelectorAll("input[name=curve], #log-scale")) input.addEventListener("change", draw);
