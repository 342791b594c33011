// Sharing: the link, and what is saved as a file.

import {$, el, save, svg} from "./dom.js";
import {color} from "./colors.js";

const PARTS = {lessons: "lessons", data: "data", layers: "layers", rate: "learning rate", optimizer: "optimizer", momentum: "momentum", schedule: "schedule",
  batch: "batch size", loss: "loss", l1: "L1", l2: "L2", init: "initial weights", biases: "initial biases", seed: "seed", doctor: "doctor"};
let send = () => {}, setup = null;

/**
 * Start: `sender(type, values)` sends a message.
 * @param {function(string, object=): void} sender
 */
export function start(sender) {
  send = sender;
  $("share").addEventListener("click", () => { showLink(); $("share-dialog").showModal(); });
  $("with-training").addEventListener("change", showLink);
  $("copy").addEventListener("click", copy);
  for (const [name, title] of Object.entries(PARTS))
    $("hide-parts").append(el("label", {}, el("input", {type: "checkbox", value: name, onchange: hide}), ` ${title}`));
  for (const button of document.querySelectorAll("[data-export]")) button.addEventListener("click", () => exportAs(button.dataset.export));
}

/**
 * Show the link of the settings, here and in the address.
 * @param {object} message
 */
export function setSetup(message) {
  ({setup} = message);
  history.replaceState(null, "", addressOf(message.link));
  showLink();
  for (const box of $("hide-parts").querySelectorAll("input")) box.checked = setup.hide.includes(box.value);
}

function addressOf(link) {
  const address = new URL(location.href);
  address.hash = link;
  address.search = "";
  return address.href;
}

function showLink() {
  if ($("with-training").checked) send("link");
  else $("link").value = location.href;
}

/**
 * Show a link with the training so far.
 * @param {object} message
 */
export function setLink({link}) {
  $("link").value = addressOf(link);
}

function hide() {
  send("set", {changes: {hide: [...$("hide-parts").querySelectorAll("input:checked")].map(box => box.value)}});
}

async function copy() {
  $("link").select();
  try { await navigator.clipboard.writeText($("link").value); } catch { document.execCommand("copy"); }
  $("copy").textContent = "Copied";
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
}

function exportAs(form) {
  if (form === "svg") save("network.svg", picture(), "image/svg+xml");
  else if (form === "png") savePng();
  else send("export", {form});
}

/** Save a file that the server made. */
export const setFile = message => save(message.name, message.arrays.content.data, "application/octet-stream");

/** Return the diagram and the output side by side as the text of an SVG. */
function picture() {
  const stage = $("stage"), box = stage.getBoundingClientRect(), side = 300, width = box.width + side + 24, height = Math.max(box.height, side + 40);
  const root = svg("svg", {xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "system-ui, sans-serif"});
  root.append(svg("rect", {width, height, fill: color("ground")}));
  for (const path of $("edges").querySelectorAll("path")) {
    const copied = path.cloneNode(), style = getComputedStyle(path);
    copied.setAttribute("stroke", style.stroke);
    copied.setAttribute("stroke-dasharray", style.strokeDasharray);
    root.append(copied);
  }
  for (const canvas of stage.querySelectorAll(".unit canvas")) addImage(root, canvas, canvas.getBoundingClientRect(), box);
  for (const label of stage.querySelectorAll(".name, .kind")) addText(root, label, box);
  addImage(root, $("surface"), {left: box.left + box.width + 16, top: box.top + 20, width: side, height: side}, box);
  return new XMLSerializer().serializeToString(root);
}

function addImage(root, canvas, place, box) {
  root.append(svg("image", {href: canvas.toDataURL(), x: place.left - box.left, y: place.top - box.top, width: place.width, height: place.height}));
}

function addText(root, label, box) {
  const place = label.getBoundingClientRect(), text = svg("text", {x: place.left - box.left + place.width / 2, y: place.top - box.top + 12, "font-size": 12, "text-anchor": "middle", fill: color("ink")});
  text.textContent = label.firstChild?.textContent ?? "";
  root.append(text);
}

function savePng() {
  const image = new Image();
  image.onload = () => {
    const canvas = el("canvas", {width: 2 * image.width, height: 2 * image.height});
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(blob => save("network.png", blob, "image/png"));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture())}`;
}
