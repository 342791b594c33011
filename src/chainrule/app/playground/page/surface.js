// The output: predictions over the plane, the rows, and drawing new ones.

import {$, fit, show} from "./dom.js";
import {classColor, color, marker, mixture, paint, pixels} from "./colors.js";

const canvas = $("surface"), image = document.createElement("canvas");
let data = null, frame = null, unit = null, drawing = null, cursor = null, drawn = [];

/**
 * Show the data: see chainrule.app.playground.picture.data.
 * @param {object} message
 */
export function setData(message) {
  data = message;
  frame = null;
  $("axis-x").textContent = message.axes[0];
  $("axis-y").textContent = message.axes[1];
  $("show-wrong").parentElement.classList.toggle("off", !message.labels.length);
  showLegend();
  draw();
}

/**
 * Show a frame.
 * @param {object} message
 */
export function setFrame(message) {
  frame = message;
  draw();
}

/**
 * Show a unit's map in place of the predictions; null: the predictions.
 * @param {Uint8Array} bytes
 */
export function showUnit(bytes) {
  unit = bytes;
  draw();
}

/**
 * Let points of a class be drawn: `add([[x, y, class], ...])` receives them; null: no drawing.
 * @param {Array} options
 */
export function setDrawing(options) {
  drawing = options;
  canvas.classList.toggle("drawing", Boolean(options));
  if (!options) cursor = null;
}

export function draw() {
  const {context, width, height} = fit(canvas);
  context.clearRect(0, 0, width, height);
  if (!data || !width) return;
  if (unit || frame) {
    paint(image, unit ? pixels(unit, true) : surfacePixels());
    context.imageSmoothingEnabled = !$("show-steps").checked;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
  }
  drawRows(context, width, height);
  drawCursor(context, width, height);
}

/** Return the pixels of the predictions; with "discretize", the color of the decision alone. */
function surfacePixels() {
  const {data: bytes, shape} = frame.arrays.surface, sharp = $("show-steps").checked, n = shape[1];
  if (shape[0] === 1) return pixels(sharp && data.labels.length ? bytes.map(value => (value > 127 ? 255 : 1)) : bytes, true);
  if (!sharp) return mixture(bytes, n);
  const clear = new Uint8Array(bytes.length);
  for (let i = 0; i < n; i++) {
    let best = 0;
    for (let k = 1; k < shape[0]; k++) if (bytes[k * n + i] > bytes[best * n + i]) best = k;
    clear[best * n + i] = 255;
  }
  return mixture(clear, n);
}

const toPixel = (x, y, width, height) => {
  const [left, right, bottom, top] = data.extent;
  return [((x - left) / (right - left)) * width, ((top - y) / (top - bottom)) * height];
};

function drawRows(context, width, height) {
  const {places, y, train} = data.arrays, n = y.data.length;
  const r = n > 800 ? 2 : n > 300 ? 2.6 : 3.4;
  const showTest = $("show-test").checked, showWrong = $("show-wrong").checked && data.labels.length;
  const wrong = frame?.arrays.wrong.data;
  for (let i = 0; i < n; i++) {
    if (!train.data[i] && !showTest) continue;
    const [px, py] = toPixel(places.data[2 * i], places.data[2 * i + 1], width, height);
    const missed = showWrong && wrong?.[i];
    context.globalAlpha = showWrong && !missed ? 0.25 : 1;
    drawRow(context, px, py, y.data[i], train.data[i], r);
    if (missed) ring(context, px, py, r + 3);
  }
  context.globalAlpha = 1;
  for (const [x, yy, k] of drawn) drawRow(context, ...toPixel(x, yy, width, height), k, 1, 3.4);
}

/** A training row is filled, a test row is hollow. */
function drawRow(context, px, py, value, isTraining, r) {
  const isClass = data.labels.length > 0;
  marker(context, isClass ? value : 0, px, py, isTraining ? r : r - 0.4);
  const paintColor = isClass ? classColor(value) : numberColor(value);
  context.fillStyle = isTraining ? paintColor : color("ground");
  context.strokeStyle = isTraining ? color("ground") : paintColor;
  context.lineWidth = isTraining ? 1 : 1.4;
  context.fill();
  context.stroke();
}

function numberColor(value) {
  const share = Math.max(-1, Math.min(1, value / data.range[1]));
  const one = pixels(Uint8Array.of(Math.round(128 + 127 * share)))[0];
  return `rgb(${one & 255} ${(one >> 8) & 255} ${(one >> 16) & 255})`;
}

function ring(context, x, y, r) {
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  context.strokeStyle = color("ink");
  context.lineWidth = 1.6;
  context.stroke();
}

function drawCursor(context, width, height) {
  if (!cursor || document.activeElement !== canvas) return;
  const [x, y] = toPixel(...cursor, width, height);
  context.strokeStyle = color("ink");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x - 8, y); context.lineTo(x + 8, y);
  context.moveTo(x, y - 8); context.lineTo(x, y + 8);
  context.stroke();
}

function showLegend() {
  const items = data.labels.length
    ? data.labels.map((label, k) => legendItem(k, label))
    : [document.createTextNode(`${show(data.range[0])} `), Object.assign(document.createElement("i"), {className: "scale"}),
      document.createTextNode(` ${show(data.range[1])}`)];
  $("legend").replaceChildren(...items);
}

function legendItem(k, label) {
  const swatch = document.createElement("canvas"), item = document.createElement("span");
  swatch.className = "swatch";
  item.append(swatch, label);
  requestAnimationFrame(() => {
    const {context} = fit(swatch);
    marker(context, k, 6, 6, 4);
    context.fillStyle = classColor(k);
    context.fill();
  });
  return item;
}

// Drawing.

function placeOf(event) {
  const box = canvas.getBoundingClientRect(), [left, right, bottom, top] = data.extent;
  const x = left + ((event.clientX - box.left) / box.width) * (right - left);
  return [x, top - ((event.clientY - box.top) / box.height) * (top - bottom)].map(value => Math.round(value * 1000) / 1000);
}

canvas.addEventListener("pointerdown", event => {
  if (!drawing) return;
  canvas.setPointerCapture(event.pointerId);
  drawn = [[...placeOf(event), drawing.label()]];
  draw();
});
canvas.addEventListener("pointermove", event => {
  if (!drawing || !drawn.length) return;
  const [x, y] = placeOf(event), [lastX, lastY] = drawn.at(-1);
  if (Math.hypot(x - lastX, y - lastY) > 0.09) { drawn.push([x, y, drawing.label()]); draw(); }
});
for (const type of ["pointerup", "pointercancel"])
  canvas.addEventListener(type, () => {
    if (drawing && drawn.length) drawing.add(drawn);
    drawn = [];
  });

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
canvas.addEventListener("keydown", event => {
  if (!data || !(event.key in ARROWS || event.key === "Enter")) return;
  event.preventDefault();
  const [left, right, bottom, top] = data.extent;
  cursor ??= [(left + right) / 2, (bottom + top) / 2];
  if (event.key === "Enter") { if (drawing) drawing.add([[...cursor, drawing.label()]]); return; }
  const [dx, dy] = ARROWS[event.key], step = event.shiftKey ? 0.1 : 0.025;
  cursor = [Math.max(left, Math.min(right, cursor[0] + dx * step * (right - left))),
    Math.max(bottom, Math.min(top, cursor[1] + dy * step * (top - bottom)))].map(value => Math.round(value * 1000) / 1000);
  canvas.setAttribute("aria-label", `Predictions over the plane, at ${cursor.map(value => show(value)).join(", ")}`);
  draw();
});
canvas.addEventListener("blur", () => draw());
for (const id of ["show-test", "show-wrong", "show-steps"]) $(id).addEventListener("change", draw);
