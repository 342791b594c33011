// The diagram: a column for each layer, a square with its map for each unit, a curve for each weight.

import {$, el, show, svg} from "./dom.js";
import {paint, pixels} from "./colors.js";
import {closest, labelPlace, pathOf} from "./edges.js";

const stage = $("stage"), edgesLayer = $("edges"), columnsLayer = $("columns");
const HEAD = 62, FOOT = 26, MAX_UNIT = 44, LEAST_PITCH = 28, MANY_EDGES = 500, LEAST_STEP = 48;
const actions = {};
let network = null, frame = null, walk = null, columns = [], edges = [], units = [], maps = [], frames = 0, chosen = null;

/**
 * Set what happens: `units(layer, more)`, `edit(layer)`, `hover(parameter or null, event)`, `choose(parameter)`, `unit(bytes or null)`.
 * @param {object} handlers
 */
export function onAction(handlers) {
  Object.assign(actions, handlers);
}

/**
 * Show a network: see chainrule.app.playground.picture.network.
 * @param {object} message
 * @param {Array<object>} layers
 * @param {number} maxUnits
 */
export function setNetwork(message, layers, maxUnits) {
  network = message;
  frame = walk = chosen = null;
  maps = [];
  const inputs = message.arrays.maps;
  for (let i = 0; i < inputs.shape[0]; i++) maps.push(inputs.data.subarray(i * inputs.shape[1], (i + 1) * inputs.shape[1]));
  build(layers, maxUnits);
}

/**
 * Show a frame.
 * @param {object} message
 */
export function setFrame(message) {
  if (!network || !edges.length) return;
  frame = message;
  const hidden = message.arrays.maps, n = hidden.shape[1] ?? 0;
  const first = network.columns[0].units.length;
  for (let i = 0; i < hidden.shape[0]; i++) maps[first + i] = hidden.data.subarray(i * n, (i + 1) * n);
  setOutputMaps(first + hidden.shape[0]);
  frames += 1;
  drawMaps();
  if (edges.length < MANY_EDGES || frames % 6 === 1) drawEdges();
  drawFeet();
}

/** The map of an output is its plane of the predictions, thinned like the others. */
function setOutputMaps(from) {
  const {data, shape} = frame.arrays.surface, side = Math.sqrt(shape[1]), half = side / 2;
  const last = network.columns.at(-1).units.length;
  for (let k = 0; k < last; k++) {
    const plane = shape[0] === last ? k : 0, flip = last === 2 && shape[0] === 1 && k === 0;
    const map = new Uint8Array(half * half);
    for (let i = 0; i < half; i++) for (let j = 0; j < half; j++) {
      const value = data[plane * shape[1] + 2 * i * side + 2 * j];
      map[i * half + j] = flip ? 255 - value : value;
    }
    maps[from + k] = map;
  }
}

/**
 * Show the numbers of a step in slow motion; null: none.
 * @param {object} message
 */
export function setWalk(message) {
  walk = message;
  for (const column of columns) column.classList.toggle("lit", Boolean(walk));
  stage.dataset.phase = walk?.phase ?? "";
  let at = 0;
  network?.columns.forEach((column, c) => column.units.forEach((_, j) => {
    const value = walk?.units?.[c]?.[j] ?? (walk?.phase === "update" ? walk.biases?.[c - 1]?.[j] : undefined);
    const {number} = units[at++];
    number.textContent = value === undefined || value === null ? "" : show(value);
    number.classList.toggle("negative", value < 0);
  }));
  drawEdges();
}

/**
 * Return the value, gradient and last update of a parameter, and its number in slow motion, if there is one.
 * @param {object} parameter
 */
export function numbersOf({at, c, i, j}) {
  if (!frame) return null;
  const {theta, grad, update} = frame.arrays, numbers = i === null ? walk?.biases?.[c - 1]?.[j] : walk?.links?.[c - 1]?.[i]?.[j];
  return {value: theta.data[at], gradient: grad.data[at], update: update.data[at], inStep: numbers};
}

/**
 * Return the parameter that leads from unit i of column c - 1 (null: the bias) to unit j of column c.
 * @param {number} c
 * @param {number|null} i
 * @param {number} j
 */
export function parameter(c, i, j) {
  const column = network.columns[c], from = network.columns[c - 1];
  if (i === null) return {name: column.b.name, index: [j], at: column.b.at + j, c, i, j, label: `Bias of ${unitName(c, j)}`};
  const at = column.W.at + i * column.W.shape[1] + j;
  return {name: column.W.name, index: [i, j], at, c, i, j, label: `Weight from ${from.kind === "input" ? from.units[i] : unitName(c - 1, i)} to ${unitName(c, j)}`};
}

export const unitName = (c, j) => {
  const column = network.columns[c];
  return column.kind === "input" ? column.units[j] : column.kind === "output" ? `output ${column.units[j]}` : `unit ${j + 1} of layer ${c}`;
};

/**
 * Return the parameters that lead to a unit: its bias, then its weights.
 * @param {number} c
 * @param {number} j
 */
export const parametersOf = (c, j) =>
  [parameter(c, null, j), ...network.columns[c - 1].units.map((_, i) => parameter(c, i, j))];

/**
 * Mark a parameter as chosen; null: none.
 * @param {object|null} chosenParameter
 */
export function choose(chosenParameter) {
  chosen = chosenParameter;
  drawEdges();
}

// Building.

function build(layers, maxUnits) {
  columnsLayer.replaceChildren();
  units = [];
  columns = network.columns.map((column, c) => {
    const box = el("div", {className: `column ${column.kind}`});
    box.append(head(column, c, layers[c - 1], maxUnits));
    column.units.forEach((name, j) => box.append(unit(column, c, j, name)));
    if (column.more) box.append(el("span", {className: "more", textContent: `+ ${column.more} more`}));
    box.append(el("span", {className: "foot"}));
    columnsLayer.append(box);
    return box;
  });
  layOut();
}

function head(column, c, layer, maxUnits) {
  const box = el("div", {className: "head"});
  if (column.kind === "input") { box.append(el("span", {className: "kind", textContent: "inputs"})); return box; }
  if (column.kind === "output") {
    box.append(el("button", {type: "button", className: "kind", textContent: "output", title: "Activation and number of outputs", onclick: () => actions.edit(null)}));
    return box;
  }
  const counter = el("div", {className: "counter small"});
  const change = more => actions.units(c - 1, more);
  counter.append(
    el("button", {type: "button", textContent: "−", disabled: layer.units <= 1, attrs: {"aria-label": `Remove a unit from layer ${c}`}, onclick: () => change(-1)}),
    el("span", {textContent: layer.units}),
    el("button", {type: "button", textContent: "+", disabled: layer.units >= maxUnits, attrs: {"aria-label": `Add a unit to layer ${c}`}, onclick: () => change(1)}),
  );
  const extras = [layer.norm !== "none" && `${layer.norm} norm`, layer.dropout && `drop ${Math.round(100 * layer.dropout)} %`].filter(Boolean);
  box.append(counter, el("button", {type: "button", className: "kind", title: `Activation, normalization and dropout of layer ${c}`, onclick: () => actions.edit(c - 1)},
    layer.activation.replaceAll("_", " "), el("small", {textContent: extras.join(", ")})));
  return box;
}

function unit(column, c, j, name) {
  const canvas = el("canvas"), number = el("span", {className: "number"}), bias = el("i", {className: "bias"});
  const button = el("button", {type: "button", className: "unit", attrs: {"aria-label": unitName(c, j)}}, canvas, number);
  if (column.kind !== "input") button.append(bias);
  if (column.kind !== "hidden") button.append(el("span", {className: "name", textContent: name, title: name}));
  const at = units.length;
  const point = on => { actions.unit(on ? maps[at] : null); button.classList.toggle("hot", on); };
  button.addEventListener("pointerenter", () => point(true));
  button.addEventListener("pointerleave", () => point(false));
  button.addEventListener("focus", () => point(true));
  button.addEventListener("blur", () => point(false));
  button.addEventListener("click", () => actions.chooseUnit(c, j));
  units.push({button, canvas, number, bias, c, j});
  return button;
}

/** Place columns and units, and make the curves between them. */
export function layOut() {
  if (!network) return;
  const room = stage.parentElement.clientWidth, count = columns.length;
  const side = network.columns[0].units.some(name => name.length > 3) ? 84 : 48, end = 74;
  const most = Math.max(...network.columns.map(column => column.units.length));
  stage.style.minHeight = `${HEAD + FOOT + LEAST_PITCH * most}px`;
  const width = Math.max(room, side + end + LEAST_STEP * (count - 1)), height = stage.clientHeight;
  const pitch = Math.min(MAX_UNIT + 12, (height - HEAD - FOOT) / most);
  const step = (width - side - end) / (count - 1), size = Math.min(MAX_UNIT, pitch - 4, 0.55 * step);
  stage.style.width = `${width}px`;
  stage.classList.toggle("narrow", step < 72);
  stage.style.setProperty("--unit", `${size}px`);
  const center = HEAD + (height - HEAD - FOOT) / 2;
  let at = 0;
  columns.forEach((box, c) => {
    const x = side + c * step, n = network.columns[c].units.length;
    box.style.left = `${x}px`;
    box.style.setProperty("--column", `${Math.min(step - 4, 110)}px`);
    for (let j = 0; j < n; j++, at++) {
      const y = center + (j - (n - 1) / 2) * pitch;
      Object.assign(units[at], {x, y, size});
      units[at].button.style.top = `${y - size / 2}px`;
    }
  });
  makeEdges(width, height);
}

function makeEdges(width, height) {
  edgesLayer.setAttribute("viewBox", `0 0 ${width} ${height}`);
  edgesLayer.setAttribute("width", width);
  edgesLayer.setAttribute("height", height);
  edgesLayer.replaceChildren();
  edges = [];
  for (let c = 1; c < columns.length; c++) {
    const from = units.filter(each => each.c === c - 1), to = units.filter(each => each.c === c);
    for (const a of from) for (const b of to) {
      const {W} = network.columns[c], ends = {x1: a.x + a.size / 2 + 2, y1: a.y, x2: b.x - b.size / 2 - 2, y2: b.y};
      const path = svg("path", {d: pathOf(ends), fill: "none"});
      edgesLayer.append(path);
      edges.push({...ends, c, i: a.j, j: b.j, path, at: W.at + a.j * W.shape[1] + b.j});
    }
  }
  drawEdges();
}

// Drawing.

function drawMaps() {
  units.forEach(({canvas, bias, c, j}, at) => {
    if (maps[at]) paint(canvas, pixels(maps[at]));
    if (c) {
      const value = frame.arrays.theta.data[network.columns[c].b.at + j];
      bias.className = `bias ${value < 0 ? "negative" : "positive"}`;
      bias.style.opacity = 0.15 + 0.85 * Math.tanh(Math.abs(value));
    }
  });
}

/** The width of a curve shows the size, its color and dashes the sign: of the weight or, in slow motion, of what moves it. */
function drawEdges() {
  if (!frame) return;
  for (const label of edgesLayer.querySelectorAll("text")) label.remove();
  const links = walk?.links, largest = links ? links.map(W => Math.max(...W.flat().map(Math.abs), 1e-30)) : null;
  for (const edge of edges) {
    const {c, i, j, path, at} = edge;
    const value = links ? links[c - 1][i][j] : frame.arrays.theta.data[at];
    const size = links ? Math.abs(value) / largest[c - 1] : Math.tanh(Math.abs(value) / 1.5);
    const isChosen = chosen && chosen.at === at;
    path.setAttribute("class", `${value < 0 ? "negative" : "positive"}${isChosen ? " chosen" : ""}`);
    path.setAttribute("stroke-width", (0.6 + 4.4 * size).toFixed(2));
    path.setAttribute("stroke-opacity", (isChosen ? 1 : 0.18 + 0.72 * size).toFixed(2));
    const place = links && labelPlace(edge, links[c - 1].length, links[c - 1][0].length);
    if (place) edgesLayer.append(Object.assign(svg("text", place), {textContent: show(value, 2)}));
  }
}

/** Below each layer, the norm of its weights' gradient at the last batch. */
function drawFeet() {
  columns.forEach((box, c) => {
    if (!c) return;
    const {at, shape} = network.columns[c].W, part = frame.arrays.grad.data.subarray(at, at + shape[0] * shape[1]);
    const norm = Math.hypot(...part), foot = box.lastElementChild;
    foot.textContent = norm ? `∇ ${show(norm, stage.classList.contains("narrow") ? 1 : 2)}` : "";
    foot.title = "Norm of the gradient of the weights that lead here";
    foot.style.setProperty("--share", norm ? Math.max(0, Math.min(1, 1 + Math.log10(norm) / 5)) : 0);
  });
}

// Pointing at weights.

function parameterAt(event) {
  const bias = event.target.closest?.(".bias");
  if (bias) { const {c, j} = units.find(each => each.bias === bias); return parameter(c, null, j); }
  if (event.target.closest?.("button")) return null;
  const box = stage.getBoundingClientRect(), edge = closest(edges, event.clientX - box.left, event.clientY - box.top);
  return edge && parameter(edge.c, edge.i, edge.j);
}

stage.addEventListener("pointermove", event => {
  const found = parameterAt(event);
  stage.classList.toggle("pointing", Boolean(found));
  actions.hover(found, event);
});
stage.addEventListener("pointerleave", event => actions.hover(null, event));
stage.addEventListener("click", event => {
  const found = parameterAt(event);
  if (found) { event.stopPropagation(); actions.choose(found); }
}, true);
stage.addEventListener("keydown", event => {
  const at = units.findIndex(({button}) => button === document.activeElement);
  const move = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]}[event.key];
  if (at < 0 || !move) return;
  event.preventDefault();
  const {c, j} = units[at], column = units.filter(each => each.c === c + move[0]);
  column[Math.max(0, Math.min(column.length - 1, j + move[1]))]?.button.focus();
});
new ResizeObserver(layOut).observe(stage.parentElement);
