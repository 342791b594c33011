"use strict";
const paths = JSON.parse(document.getElementById("paths").textContent);
const chain = document.getElementById("chain");
let pinned = null;

const cells = name => document.querySelectorAll(`td[data-q="${CSS.escape(name)}"]`);
const cell = (name, i, j) => document.querySelector(`td[data-q="${CSS.escape(name)}"][data-i="${i}"][data-j="${j}"]`);
const valueOf = td => td && Number(td.dataset.v);
// Hidden entries of an exercise have no value, and neither does anything computed from them.
const short = value => Number.isNaN(value) ? "?" : String(Number(value.toPrecision(4))).replaceAll("-", "−");
const factor = value => value < 0 ? `(${short(value)})` : short(value);

// Whether a cell is on the path of entry (k, j) of a parameter.
const PLACES = {
  j: (td, k, j) => td.dataset.j === j,
  k: (td, k) => td.dataset.j === k,
  r: (td, k, j) => td.dataset.i === j,
  e: (td, k, j) => td.dataset.i === k && td.dataset.j === j,
  a: () => true,
};

function highlight(td) {
  clear();
  const {q, i: k, j} = td.dataset, path = paths[q];
  for (const [name, place] of Object.entries(path.lit))
    for (const other of cells(name)) other.classList.toggle("on", PLACES[place](other, k, j));
  document.body.classList.add("lit");
  chain.replaceChildren(explain(path, k, j));
}

function clear() {
  for (const td of document.querySelectorAll("td.on")) td.classList.remove("on");
  document.body.classList.remove("lit");
  chain.replaceChildren();
}

function paragraph(html) {
  const p = document.createElement("p");
  p.innerHTML = html;
  return p;
}

// The gradient's entry as the product of its factors, with their values, each in the color of its edge.
function explain(path, k, j) {
  const box = document.createElement("div");
  const numbered = html => html.replaceAll(/<mi>(JK|J|K)<\/mi>|<mi>J<\/mi><mi>K<\/mi>/g, (_, letter) =>
    `<mn>${letter === "J" ? Number(j) + 1 : letter === "K" ? Number(k) + 1 : ""}</mn>`);
  const total = valueOf(cell(path.gradient, k, j));
  const fractions = path.factors.map(([math, , , color]) => `<b class="${color}">${numbered(math)}</b>`);
  const sum = path.rows > 1 ? "<math><munder><mo>Σ</mo><mi>x</mi></munder></math> " : "";
  const products = path.factors.length ? ` = ${sum}${fractions.join(" · ")}` : "";
  box.append(paragraph(`${numbered(path.title)}${products} = <strong>${short(total)}</strong>`));
  for (let row = 0; path.factors.length && row < Math.min(path.rows, 3); row++) {
    const values = path.factors.map(([, name, place]) => name ? valueOf(cell(name, row, place === "k" ? k : j)) : 1);
    if (values.includes(null)) break;
    const product = Number.isNaN(total) ? total : values.reduce((a, b) => a * b, 1);
    const terms = values.map((value, f) => `<b class="${path.factors[f][3]}">${factor(value)}</b>`).join(" · ");
    const label = path.rows > 1 ? `row ${row + 1}: ` : "";
    box.append(paragraph(`${label}${terms} = ${short(product)}${branches(path, row, j)}`));
  }
  const rest = [];
  if (path.rows > 3) rest.push(`likewise for all ${path.rows} rows`);
  if (path.penalized) rest.push("plus the gradient of the penalty");
  if (rest.length) box.append(paragraph(rest.join(", ")));
  return box;
}

// The first factor as the sum over the branches from the unit to the next layer.
function branches(path, row, j) {
  if (!path.branches) return "";
  const [delta, W] = path.branches;
  const weights = [...document.querySelectorAll(`.row td[data-q="${CSS.escape(W)}"][data-i="${j}"]`)];
  if (!weights.length) return "";  // this row of W is abridged
  const terms = weights.map(weight => {
    const error = cell(delta, row, weight.dataset.j);
    return `<b class="${weight.closest("article").className}">${factor(valueOf(weight))}</b> · ${factor(valueOf(error))}`;
  });
  const first = valueOf(cell(...[path.factors[0][1], row, j]));
  return `<span class="pale">, where ${short(first)} = ${terms.join(" + ")}${weights[0].parentElement.cells.length > weights.length ? " + …" : ""}</span>`;
}

function move(td, down, right) {
  const table = td.closest("table"), line = td.parentElement;
  const across = [...line.children].indexOf(td), at = [...table.rows].indexOf(line);
  for (let step = 1; step < 3; step++) {  // skip an ellipsis
    const next = table.rows[at + step * down]?.cells[across + step * right];
    if (!next) return;
    if (!next.hasAttribute("tabindex")) continue;
    td.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    return;
  }
}

const ARROWS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
const weightAt = event => event.target.closest?.("td[tabindex]");

document.addEventListener("mouseover", event => {
  if (pinned) return;
  const td = weightAt(event);
  if (td) highlight(td); else if (!chain.contains(event.target)) clear();
});
document.addEventListener("focusin", event => {
  const td = weightAt(event);
  if (td) { pinned = null; highlight(td); }
});
document.addEventListener("focusout", () => { if (!pinned) clear(); });
document.addEventListener("click", event => {
  const td = weightAt(event);
  if (td) { pinned = td; highlight(td); } else if (!chain.contains(event.target)) { pinned = null; clear(); }
});
document.addEventListener("keydown", event => {
  const td = weightAt(event);
  if (event.key === "Escape") { pinned = null; clear(); }
  else if (td && ARROWS[event.key]) { event.preventDefault(); move(td, ...ARROWS[event.key]); }
  else if (td && event.key === "Enter") { pinned = td; highlight(td); }
});
