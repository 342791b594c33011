// The inspector: a weight or a unit with its numbers and formulas, or a step in slow motion.

import {$, el, show} from "./dom.js";
import * as diagram from "./diagram.js";

const box = $("inspector"), tip = $("tip"), EXPLAIN_EVERY = 300;
let send = () => {}, chosen = null, unit = null, hovered = null, explained = null, walk = null, asked = 0, timer = 0;

/**
 * Start: `sender(type, values)` sends a message.
 * @param {function(string, object=): void} sender
 */
export function start(sender) {
  send = sender;
  showHint();
}

/** Forget what was chosen: the network has changed. */
export function reset() {
  chosen = unit = hovered = explained = walk = null;
  diagram.choose(null);
  tip.hidden = true;
  showHint();
}

function showHint() {
  box.replaceChildren(el("p", {className: "hint", textContent:
    "Hover over a line to see its weight, and click it to edit. Click a unit for its bias and all its weights. "
    + "Batch and Row show one training step in four phases."}));
}

// Pointing.

export function hover(parameter, event) {
  hovered = parameter;
  tip.hidden = !parameter;
  if (!parameter) return;
  const area = tip.offsetParent.getBoundingClientRect();
  tip.style.left = `${Math.min(event.clientX - area.left + 14, area.width - 190)}px`;
  tip.style.top = `${event.clientY - area.top + 16}px`;
  showTip();
  if (!chosen && !unit && !walk) ask(parameter);
}

function showTip() {
  const numbers = diagram.numbersOf(hovered);
  if (!numbers) return;
  tip.replaceChildren(el("b", {textContent: hovered.label}), ...[["value", numbers.value], ["last gradient", numbers.gradient], ["last update", numbers.update], ["in this step", numbers.inStep]]
    .filter(([, value]) => value !== undefined).map(([name, value]) => el("span", {}, name, el("b", {textContent: show(value, 4), className: value < 0 ? "negative" : ""}))));
}

/** Ask for the formula of a parameter, not too often. */
function ask(parameter) {
  clearTimeout(timer);
  const wait = Math.max(60, asked + EXPLAIN_EVERY - performance.now());
  timer = setTimeout(() => {
    asked = performance.now();
    explained = parameter;
    send("explain", {name: parameter.name, index: parameter.index});
  }, wait);
}

// Choosing.

export function choose(parameter) {
  clearTimeout(timer);
  chosen = parameter;
  unit = walk = null;
  diagram.setWalk(null);
  diagram.choose(parameter);
  explained = parameter;
  send("explain", {name: parameter.name, index: parameter.index});
  showParameter(null);
  box.querySelector("input")?.focus();
}

export function chooseUnit(c, j) {
  if (c === 0) return;
  clearTimeout(timer);
  chosen = walk = null;
  unit = {c, j};
  diagram.setWalk(null);
  diagram.choose(null);
  const rows = diagram.parametersOf(c, j).map(parameter => el("tr", {},
    el("th", {attrs: {scope: "row"}, textContent: parameter.label.replace(/ (to|of) unit.*| (to|of) output.*/, "") || "Bias"}),
    el("td", {}, input(parameter)), el("td", {className: "gradient"}), el("td", {className: "update"})));
  box.replaceChildren(el("div", {className: "title"}, el("h3", {textContent: diagram.unitName(c, j)}), close()), el("div", {className: "wide"}, el("table", {},
    el("thead", {}, el("tr", {}, ...["", "value", "last gradient", "last update"].map(textContent => el("th", {textContent, attrs: {scope: "col"}})))),
    el("tbody", {}, ...rows))));
  refresh();
}

const close = () => el("button", {type: "button", className: "quiet icon", textContent: "×", attrs: {"aria-label": "Close"}, onclick: reset});

/** An input that changes a parameter. */
function input(parameter) {
  const field = el("input", {type: "number", step: "any", attrs: {"aria-label": parameter.label}});
  field.addEventListener("change", () => {
    const value = Number(field.value);
    if (field.value !== "" && Number.isFinite(value)) send("weight", {name: parameter.name, index: parameter.index, value});
  });
  field.parameter = parameter;
  return field;
}

function showParameter(message) {
  if (!message && !chosen) return;
  const parameter = chosen ?? explained, key = `${parameter.at} ${Boolean(chosen)}`;
  let title = box.querySelector(".parameter");
  if (title?.dataset.key !== key) {
    title = el("div", {className: "parameter"});
    title.dataset.key = key;
    title.append(el("div", {className: "title"}, el("h3", {textContent: parameter.label}), ...(chosen ? [close()] : [])), el("dl", {},
      ...pair("value", chosen ? input(parameter) : el("span")), ...pair("last gradient", el("span", {className: "gradient"})),
      ...pair("last update", el("span", {className: "update"})), ...pair("next update", el("span", {className: "next"}))),
      el("div", {className: "formula wide"}));
    box.replaceChildren(title);
  }
  refresh();
  if (message) {
    title.querySelector(".next").textContent = show(message.next, 4);
    title.querySelector(".formula").innerHTML = formula(message);
  }
}

const pair = (name, value) => [el("div", {}, el("dt", {textContent: name}), el("dd", {}, value))];

/** The gradient as a product, for each of the first rows with its numbers, and the rule of the update. */
function formula(message) {
  const factor = value => (value < 0 ? `(${show(value)})` : show(value));
  const rows = message.rows.map((row, k) =>
    `<li><span class="pale">row ${k + 1}</span> ${row.factors.map(factor).join(" · ")} = <b>${show(row.product)}</b></li>`);
  const rest = [message.of > rows.length && rows.length && `and ${message.of - rows.length} more rows`,
    message.penalty && "plus the gradient of the penalty"].filter(Boolean).join(", ");
  return `<p>${message.formula} <span>= <b>${show(message.gradient, 4)}</b> on the next batch</span></p><ul>${rows.join("")}</ul>`
    + `${rest ? `<p class="pale">${rest}</p>` : ""}<p class="rule">${message.rule}</p>`;
}

/**
 * Show an answer to `explain`.
 * @param {object} message
 */
export function setExplained(message) {
  const shown = chosen ?? explained;
  if (!shown || walk || unit || message.name !== shown.name || message.index.join() !== shown.index.join()) return;
  showParameter(message);
}

/** Show the numbers of the latest frame. */
export function refresh() {
  if (hovered && !tip.hidden) showTip();
  const fields = [...box.querySelectorAll("input")];
  for (const field of fields) {
    const numbers = diagram.numbersOf(field.parameter);
    if (!numbers) continue;
    if (document.activeElement !== field) field.value = Number(numbers.value.toPrecision(5));
    const row = field.closest("tr, .parameter");
    row.querySelector(".gradient").textContent = show(numbers.gradient, 4);
    row.querySelector(".update").textContent = show(numbers.update, 4);
  }
  const shown = box.querySelector(".parameter");
  if (shown && !fields.length && explained) {
    const numbers = diagram.numbersOf(explained);
    if (!numbers) return;
    shown.querySelector("dd span").textContent = show(numbers.value, 4);
    shown.querySelector(".gradient").textContent = show(numbers.gradient, 4);
    shown.querySelector(".update").textContent = show(numbers.update, 4);
  }
}

// Slow motion.

const PHASES = ["forward", "loss", "backward", "update"];

/**
 * Show a step in slow motion; one without a phase ends it.
 * @param {object} message
 */
export function setWalk(message) {
  if (!message.phase) {
    if (walk) { walk = null; showHint(); }
    diagram.setWalk(null);
    return;
  }
  clearTimeout(timer);
  chosen = unit = null;
  walk = message;
  diagram.choose(null);
  diagram.setWalk(message);
  const steps = PHASES.map(phase => el("li", {textContent: phase, className: phase === message.phase ? "now" : ""}));
  box.replaceChildren(el("div", {className: "title"}, el("ol", {className: "phases"}, ...steps), el("span", {className: "pale", textContent: message.where})),
    el("p", {}, message.text, " ", el("span", {className: "pale", textContent: `Loss ${show(message.loss, 4)}.`})));
  const formulas = el("div", {className: "formulas wide"});
  formulas.innerHTML = message.formulas.join("");
  box.append(formulas);
  $("announcer").textContent = `${message.text} ${message.where}, loss ${show(message.loss, 4)}.`;
}
