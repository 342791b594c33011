"use strict";
const ways = JSON.parse(document.getElementById("ways").textContent);
const chain = document.getElementById("chain");
let held = null;

const cells = name => document.querySelectorAll(`td[data-q="${CSS.escape(name)}"]`);
const cell = (name, i, j) => document.querySelector(`td[data-q="${CSS.escape(name)}"][data-i="${i}"][data-j="${j}"]`);
const numberOf = td => td && Number(td.dataset.v);
// A blank of an exercise has no number, nor has what is made of it.
const short = value => Number.isNaN(value) ? "?" : String(Number(value.toPrecision(4))).replaceAll("-", "−");
const factor = value => value < 0 ? `(${short(value)})` : short(value);

// Where a cell must stand to be on the way of entry (k, j) of a parameter.
const PLACES = {
  j: (td, k, j) => td.dataset.j === j,
  k: (td, k) => td.dataset.j === k,
  r: (td, k, j) => td.dataset.i === j,
  e: (td, k, j) => td.dataset.i === k && td.dataset.j === j,
  a: () => true,
};

function light(td) {
  dark();
  const {q, i: k, j} = td.dataset, way = ways[q];
  for (const [name, place] of Object.entries(way.lit))
    for (const other of cells(name)) other.classList.toggle("on", PLACES[place](other, k, j));
  document.body.classList.add("lit");
  chain.replaceChildren(explain(way, k, j));
}

function dark() {
  for (const td of document.querySelectorAll("td.on")) td.classList.remove("on");
  document.body.classList.remove("lit");
  chain.replaceChildren();
}

function paragraph(html) {
  const p = document.createElement("p");
  p.innerHTML = html;
  return p;
}

// The gradient's entry as the product of its factors, each in the colour of its edge, with its numbers.
function explain(way, k, j) {
  const box = document.createElement("div");
  const numbered = html => html.replaceAll(/<mi>(JK|J|K)<\/mi>|<mi>J<\/mi><mi>K<\/mi>/g, (_, letter) =>
    `<mn>${letter === "J" ? Number(j) + 1 : letter === "K" ? Number(k) + 1 : ""}</mn>`);
  const total = numberOf(cell(way.gradient, k, j));
  const fractions = way.factors.map(([math, , , colour]) => `<b class="${colour}">${numbered(math)}</b>`);
  const sum = way.rows > 1 ? "<math><munder><mo>Σ</mo><mi>x</mi></munder></math> " : "";
  const products = way.factors.length ? ` = ${sum}${fractions.join(" · ")}` : "";
  box.append(paragraph(`${numbered(way.title)}${products} = <strong>${short(total)}</strong>`));
  for (let row = 0; way.factors.length && row < Math.min(way.rows, 3); row++) {
    const values = way.factors.map(([, name, place]) => name ? numberOf(cell(name, row, place === "k" ? k : j)) : 1);
    if (values.includes(null)) break;
    const product = Number.isNaN(total) ? total : values.reduce((a, b) => a * b, 1);
    const terms = values.map((value, f) => `<b class="${way.factors[f][3]}">${factor(value)}</b>`).join(" · ");
    const label = way.rows > 1 ? `row ${row + 1}: ` : "";
    box.append(paragraph(`${label}${terms} = ${short(product)}${branches(way, row, j)}`));
  }
  const rest = [];
  if (way.rows > 3) rest.push(`and so on for ${way.rows} rows`);
  if (way.penalised) rest.push("and the penalty");
  if (rest.length) box.append(paragraph(rest.join(", ")));
  return box;
}

// The first factor as the sum over the branches that lead on from the unit.
function branches(way, row, j) {
  if (!way.branches) return "";
  const [delta, W] = way.branches;
  const weights = [...document.querySelectorAll(`.row td[data-q="${CSS.escape(W)}"][data-i="${j}"]`)];
  if (!weights.length) return "";  // the page leaves this row out
  const terms = weights.map(weight => {
    const error = cell(delta, row, weight.dataset.j);
    return `<b class="${weight.closest("article").className}">${factor(numberOf(weight))}</b> · ${factor(numberOf(error))}`;
  });
  const first = numberOf(cell(...[way.factors[0][1], row, j]));
  return `<span class="pale">, where ${short(first)} = ${terms.join(" + ")}${weights[0].parentElement.cells.length > weights.length ? " + …" : ""}</span>`;
}

function move(td, down, right) {
  const table = td.closest("table"), line = td.parentElement;
  const across = [...line.children].indexOf(td), at = [...table.rows].indexOf(line);
  for (let step = 1; step < 3; step++) {  // over the dots
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
  if (held) return;
  const td = weightAt(event);
  if (td) light(td); else if (!chain.contains(event.target)) dark();
});
document.addEventListener("focusin", event => { const td = weightAt(event); if (td) { held = null; light(td); } });
document.addEventListener("focusout", () => { if (!held) dark(); });
document.addEventListener("click", event => {
  const td = weightAt(event);
  if (td) { held = td; light(td); } else if (!chain.contains(event.target)) { held = null; dark(); }
});
document.addEventListener("keydown", event => {
  const td = weightAt(event);
  if (event.key === "Escape") { held = null; dark(); }
  else if (td && ARROWS[event.key]) { event.preventDefault(); move(td, ...ARROWS[event.key]); }
  else if (td && event.key === "Enter") { held = td; light(td); }
});
document.addEventListener("change", event => {
  if (event.target.name === "notation") document.body.dataset.notation = event.target.value;
});
