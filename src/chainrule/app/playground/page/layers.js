// The layers: how many there are, and the dialog for one.

import {$, fill} from "./dom.js";

let send = () => {}, layers = [], editing = 0, maxLayers = 12;

/**
 * Start: `sender(type, values)` sends a message.
 * @param {function(string, object=): void} sender
 */
export function start(sender) {
  send = sender;
  $("more-layers").addEventListener("click", () => change([...layers, {...(layers.at(-1) ?? {units: 4, activation: "tanh", dropout: 0, norm: "none"})}]));
  $("fewer-layers").addEventListener("click", () => change(layers.slice(0, -1)));
  for (const name of ["activation", "norm", "dropout"]) $(`layer-${name}`).addEventListener("change", () => edit(name));
  $("layer-dropout").addEventListener("input", showDropout);
  $("layer-remove").addEventListener("click", () => { $("layer-dialog").close(); change(layers.filter((_, k) => k !== editing)); });
}

/**
 * Fill the dialog's options.
 * @param {object} choices
 * @param {number} most
 */
export function setChoices(choices, most) {
  maxLayers = most;
  fill($("layer-activation"), choices.activation);
  fill($("layer-norm"), [["none", "none"], ["batch", "batch norm"], ["layer", "layer norm"]]);
}

/**
 * Show the layers.
 * @param {Array<object>} list
 */
export function setLayers(list) {
  layers = list;
  $("layer-count").textContent = layers.length === 1 ? "1 hidden layer" : `${layers.length} hidden layers`;
  $("fewer-layers").disabled = !layers.length;
  $("more-layers").disabled = layers.length >= maxLayers;
}

function change(list) {
  layers = list;  // the next change may come before the server's answer
  send("set", {changes: {layers: list}});
}

/**
 * Change the number of units of a layer by so many.
 * @param {number} k
 * @param {number} more
 */
export const addUnits = (k, more) => change(layers.map((layer, i) => (i === k ? {...layer, units: layer.units + more} : layer)));

/**
 * Open the dialog for a layer; null: for the output layer.
 * @param {number} k
 */
export function open(k) {
  if (k === null) { $("output-dialog").showModal(); return; }
  editing = k;
  const layer = layers[k];
  $("layer-title").textContent = `Layer ${k + 1}`;
  $("layer-activation").value = layer.activation;
  $("layer-norm").value = layer.norm;
  $("layer-dropout").value = layer.dropout;
  showDropout();
  $("layer-dialog").showModal();
}

function showDropout() {
  $("layer-dropout-value").textContent = `${Math.round(100 * $("layer-dropout").value)} %`;
}

function edit(name) {
  const value = name === "dropout" ? Number($("layer-dropout").value) : $(`layer-${name}`).value;
  change(layers.map((layer, i) => (i === editing || $("layer-all").checked ? {...layer, [name]: value} : layer)));
}
