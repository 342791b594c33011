// Figures to play with. Each takes the place of the still pictures in an element with the attribute data-play, whose
// data-start holds the numbers it begins with. The formulas are in formulas.js, the figures in learn.js and train.js.
"use strict";

function element(parent, name, attributes = {}, text = "") {
  const inSvg = parent.namespaceURI.endsWith("svg") || name === "svg";
  const made = inSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

const decimals = (value) => value.toFixed(2);
const whole = (value) => value.toFixed(0);

/** A labeled slider that calls `changed`; returns its input element, whose `show` sets it. */
function slider(parent, name, min, max, value, changed, format = decimals) {
  const label = element(parent, "label", {}, name + " ");
  const input = element(label, "input", { type: "range", min, max, step: format === whole ? 1 : "any", value });
  const output = element(label, "output");
  const show = () => { output.textContent = format(Number(input.value)); };
  input.addEventListener("input", () => { show(); changed(); });
  input.show = (number) => { input.value = number; show(); };
  show();
  return input;
}

/** A labeled choice between the keys of `names`; returns its select element. */
function choice(parent, name, names, changed) {
  const select = element(element(parent, "label", {}, name + " "), "select");
  for (const [value, text] of Object.entries(names)) element(select, "option", { value }, text);
  select.addEventListener("change", changed);
  return select;
}

/** A row of buttons: their names, and what they do. */
function buttons(parent, actions) {
  const row = element(parent, "div");
  for (const [name, clicked] of Object.entries(actions)) {
    element(row, "button", { type: "button" }, name).addEventListener("click", clicked);
  }
}

/**
 * An SVG for x and y in the given ranges, whose y axis points up, and the functions that draw on it. Text has the same
 * size in each; one of more than 200 units in width shows more of it, and takes the whole width of the page.
 */
function chart(parent, [left, right], [low, high], label, aspect = 1, units = 200) {
  const height = units * aspect;
  const look = { role: "img", "aria-label": label, class: units > 200 ? "whole" : "part" };
  const svg = element(parent, "svg", { viewBox: `0 0 ${units} ${height}`, ...look });
  const at = ([x, y]) => [(units * (x - left)) / (right - left), (height * (high - y)) / (high - low)];
  const line = (from, to, look, width) => {
    const [[x1, y1], [x2, y2]] = [at(from), at(to)];
    element(svg, "line", { x1, y1, x2, y2, class: look, ...(width && { style: `stroke-width: ${width}` }) });
  };
  const dot = (point, look, r = 3) => {
    const [cx, cy] = at(point);
    element(svg, "circle", { cx, cy, r, class: look });
  };
  const rectangle = (corner, width, height, look) => {
    const [[x, y], [right, low]] = [at([corner[0], corner[1] + height]), at([corner[0] + width, corner[1]])];
    return element(svg, "rect", { x, y, width: right - x, height: low - y, class: look });
  };
  const write = (point, text, look = "label") => {
    const [x, y] = at(point);
    element(svg, "text", { x, y, class: look }, text);
  };
  const curve = (points, look) => element(svg, "polyline", { points: points.map(at).join(" "), class: look });
  const name = (x, y) => {
    element(svg, "text", { x: units - 3, y: height - 4, "text-anchor": "end" }, x);
    element(svg, "text", { x: 3, y: 9 }, y);
  };
  const point = ({ clientX, clientY }) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    return [left + x * (right - left), high - y * (high - low)];
  };
  const click = (clicked) => {
    svg.classList.add("hand");
    svg.addEventListener("click", (event) => clicked(point(event)));
  };
  /** Call `begun` with the point where the pointer is pressed, and `moved` with that and those it is dragged to. */
  const follow = (moved, begun = () => {}) => {
    svg.classList.add("hand");
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      begun(point(event));
      moved(point(event));
    });
    svg.addEventListener("pointermove", (event) => { if (event.buttons) moved(point(event)); });
  };
  return { line, dot, rectangle, write, curve, name, click, follow, clear: () => svg.replaceChildren() };
}

/** A chart for x and y from -reach to reach. */
const plane = (parent, reach, label, aspect) =>
  chart(parent, [-reach[0], reach[0]], [-reach[1], reach[1]], label, aspect);

/** The centers of 30 by 30 squares that cover the plane of the disc, from the lower left. */
const GRID = Array.from({ length: 900 }, (_, k) => [((k % 30) - 14.5) / 13.5, (Math.floor(k / 30) - 14.5) / 13.5]);
const paint = (drawing, k, isOne) =>
  drawing.rectangle(GRID[k].map((v) => v - 1 / 27), 2 / 27, 2 / 27, isOne ? "one" : "zero");

const LOSSES = { squared_error: "squared error", cross_entropy: "cross-entropy" };

/** The name of a page's figure -> the function that shows it on a board. */
const FIGURES = {};

document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("[data-play]")) {
    const board = document.createElement("div");
    figure.prepend(board);
    FIGURES[figure.dataset.play](board, JSON.parse(figure.dataset.start));
    figure.querySelectorAll(".only-light, .only-dark").forEach((still) => still.remove());
  }
});
