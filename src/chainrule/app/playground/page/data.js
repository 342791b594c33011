// The data panel: samples as thumbnails, and the user's own points, formula or table.

import {$, el, fill, fit} from "./dom.js";
import {classColor, marker, pixels} from "./colors.js";
import {setDrawing} from "./surface.js";

const TITLES = {circle: "Circle", xor: "XOR", spiral: "Spirals", blobs: "Blobs", line: "Line", three: "Three arms", slope: "Slope", hills: "Hills", waves: "Waves"};
const MAX_BYTES = 20e6;
let send = () => {}, report = () => {}, setup = null, thumbs = null, own = null, label = 0;

/**
 * Start: `sender(type, values)` sends a message, `reporter(text)` shows an error.
 * @param {function(string, object=): void} sender
 * @param {function(string): void} reporter
 */
export function start(sender, reporter) {
  send = sender;
  report = reporter;
  for (const kind of ["points", "formula", "table"]) $(`own-${kind}`).addEventListener("click", () => open(kind));
  $("formula-form").addEventListener("submit", event => { event.preventDefault(); sendFormula(); });
  $("formula").addEventListener("change", sendFormula);
  $("sample").addEventListener("click", () => send("set", {changes: {sample: ++setup.sample}}));
  $("clear-points").addEventListener("click", () => send("set", {changes: {data: "points", points: []}}));
  for (const name of ["target", "across", "up"]) $(name).addEventListener("change", () => send("set", {changes: columnChanges(name)}));
  startTable();
  makeClasses();
}

const columnChanges = name => ({[name]: $(name).value, ...(name === "target" ? {across: "", up: ""} : {})});

function sendFormula() {
  send("set", {changes: {data: "formula", formula: $("formula").value}});
}

/** Open the form for own data; a second time closes it. */
function open(kind) {
  own = own === kind && setup.data !== kind ? null : kind;
  if (own === "points" && setup.data !== "points") send("set", {changes: {data: "points"}});
  if (own === "formula" && setup.data !== "formula") sendFormula();
  showForms();
}

function showForms() {
  for (const kind of ["points", "formula", "table"]) {
    $(`${kind}-form`).hidden = own !== kind;
    $(`own-${kind}`).setAttribute("aria-pressed", own === kind);
  }
  setDrawing(setup.data === "points" ? {label: () => label, add: points => send("points", {points})} : null);
}

function makeClasses() {
  for (let k = 0; k < 4; k++) {
    const radio = el("input", {type: "radio", name: "point-class", value: k, checked: k === 0, onchange: () => { label = k; }});
    $("point-class").append(el("label", {className: `class-${k}`}, radio, String(k)));
  }
}

// Samples.

/**
 * Show some points of each sample.
 * @param {object} message
 */
export function setThumbnails(message) {
  thumbs = message;
  $("thumbnails").replaceChildren(...message.names.map(name => el("button", {
    type: "button", className: "thumb", title: TITLES[name] ?? name, onclick: () => send("set", {changes: {data: name}}),
    attrs: {"aria-pressed": "false", "aria-label": TITLES[name] ?? name, "data-name": name},
  }, el("canvas"))));
  drawThumbnails();
  if (setup) setSetup({setup});
}

export function drawThumbnails() {
  if (!thumbs) return;
  const {places, y} = thumbs.arrays, n = y.shape[1];
  thumbs.names.forEach((_, k) => {
    const {context, width, height} = fit($("thumbnails").children[k].firstElementChild);
    context.clearRect(0, 0, width, height);
    for (let i = 0; i < n; i++) {
      const at = k * n + i, px = (places.data[2 * at] / 2.3 + 0.5) * width, py = (0.5 - places.data[2 * at + 1] / 2.3) * height;
      marker(context, 0, px, py, 1.7);
      context.fillStyle = thumbs.numbers[k] ? numberColor(y.data[at]) : classColor(y.data[at]);
      context.fill();
    }
  });
}

function numberColor(value) {
  const [one] = pixels(Uint8Array.of(Math.round(128 + 127 * Math.max(-1, Math.min(1, value / 2)))));
  return `rgb(${one & 255} ${(one >> 8) & 255} ${(one >> 16) & 255})`;
}

/**
 * Show the settings that concern data.
 * @param {object} message
 */
export function setSetup(message) {
  ({setup} = message);
  for (const button of $("thumbnails").children) button.setAttribute("aria-pressed", button.dataset.name === setup.data);
  if (["points", "formula", "table"].includes(setup.data)) own = setup.data;
  else if (own !== "table") own = null;
  if (document.activeElement !== $("formula")) $("formula").value = setup.formula;
  if (message.table) showColumns(message.table);
  const ownPoints = setup.data === "points" || setup.data === "table";
  document.querySelector(".data [data-part=rows]").classList.toggle("off", ownPoints);
  document.querySelector(".data [data-part=noise]").classList.toggle("off", ownPoints);
  document.querySelector(".data [data-part=standardize]").classList.toggle("off", !["slope", "hills", "waves", "formula"].includes(setup.data));
  showForms();
}

/**
 * Show the data's note.
 * @param {object} message
 */
export function setData(message) {
  $("data-note").textContent = [message.note, ...message.notices.slice(0, 3)].filter(Boolean).join(" · ");
  if (setup?.data === "table") for (const [name, value] of [["across", message.axes[0]], ["up", message.axes[1]]]) $(name).value = value;
}

// Tables.

function showColumns({columns}) {
  $("table-columns").hidden = setup.data !== "table";
  for (const name of ["target", "across", "up"]) fill($(name), columns.map(column => [column, column]), setup[name] || (name === "target" ? columns.at(-1) : $(name).value));
}

function startTable() {
  const drop = $("drop");
  $("file").addEventListener("change", () => { read($("file").files[0]); $("file").value = ""; });
  for (const type of ["dragover", "dragleave", "drop"])
    document.addEventListener(type, event => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.toggle("over", type === "dragover");
      if (type === "drop") read(event.dataTransfer.files[0]);
    });
  $("paste").addEventListener("change", () => { if ($("paste").value.trim()) take("pasted.csv", $("paste").value); });
  $("paste").addEventListener("paste", () => setTimeout(() => $("paste").blur()));
}

async function read(file) {
  if (!file) return;
  if (file.size > MAX_BYTES) { report(`${file.name} must have at most 20 MB here. chainrule train reads larger ones.`); return; }
  take(file.name, await file.text());
}

function take(name, text) {
  own = "table";
  showForms();
  $("data-note").textContent = `Reading ${name} …`;
  send("table", {name, text});
}
