// The controls: every element with data-setting shows one setting and changes it; the buttons of time.

import {$, fill} from "./dom.js";

let send = () => {}, playing = false;

/**
 * Start: `sender(type, values)` sends a message.
 * @param {function(string, object=): void} sender
 */
export function start(sender) {
  send = sender;
  for (const control of document.querySelectorAll("[data-setting]"))
    control.addEventListener("change", () => {
      const value = valueOf(control);
      if (value !== null) send("set", {changes: {[control.dataset.setting]: value}});
    });
  for (const slide of document.querySelectorAll(".slide input[data-setting]")) slide.addEventListener("input", () => showSlide(slide));
  $("play").addEventListener("click", toggle);
  $("reset").addEventListener("click", () => send("reset"));
  for (const button of document.querySelectorAll("[data-step]")) button.addEventListener("click", () => send("step", {of: button.dataset.step}));
  $("speed").addEventListener("change", () => send("pace", {speed: Number($("speed").value)}));
  document.addEventListener("keydown", shortcut);
}

function valueOf(control) {
  if (control.type === "checkbox") return control.checked;
  if (control.type === "number" || control.type === "range" || control.dataset.type === "number")
    return control.value === "" ? null : Number(control.value);
  return control.value;
}

const toggle = () => send(playing ? "pause" : "play");

const KEYS = {" ": toggle, r: () => send("reset"), e: () => send("step", {of: "epoch"}), b: () => send("step", {of: "batch"}), n: () => send("step", {of: "row"})};

function shortcut(event) {
  const busy = event.target.closest?.("input, select, textarea, dialog") || (event.key === " " && event.target.closest?.("button"));
  if (busy || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
}

/**
 * Fill the selects with the options of the server.
 * @param {object} choices
 */
export function setChoices(choices) {
  for (const select of document.querySelectorAll("select[data-setting]"))
    if (choices[select.dataset.setting]) fill(select, choices[select.dataset.setting]);
}

/**
 * Show the settings.
 * @param {object} message
 */
export function setSetup({setup, losses}) {
  const loss = document.querySelector("[data-setting=loss]");
  if ([...loss.options].map(option => option.value).join() !== losses.join()) fill(loss, losses, setup.loss);
  for (const control of document.querySelectorAll("[data-setting]")) {
    const value = setup[control.dataset.setting];
    if (control.type === "checkbox") control.checked = value;
    else if (document.activeElement !== control || control.tagName === "SELECT" || control.type === "range") control.value = value;
    if (control.type === "range") showSlide(control);
  }
  const scheduled = ["cosine", "one_cycle", "coslog4"].includes(setup.schedule);
  document.querySelector("[data-setting=epochs]").disabled = !scheduled;
  document.querySelector("[data-setting=momentum]").disabled = !["sgd", "nesterov"].includes(setup.optimizer);
  for (const part of document.querySelectorAll("[data-part]")) part.classList.toggle("hidden-part", setup.hide.includes(part.dataset.part));
}

function showSlide(control) {
  const {setting} = control.dataset, value = Number(control.value);
  control.parentElement.querySelector("output").textContent = setting === "ratio" ? `${Math.round(100 * value)} %` : String(value);
}

/**
 * Show whether training goes on.
 * @param {object} state
 */
export function setState(state) {
  playing = state.playing;
  const button = $("play");
  button.setAttribute("aria-pressed", playing);
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.disabled = !playing && (state.ended || Boolean(state.failure));
}

/**
 * Show where training is.
 * @param {object} message
 */
export function setClock({epoch, batch, batches}) {
  $("epoch").textContent = epoch.toLocaleString("en");
  $("in-epoch").value = batches > 1 ? batch / batches : 0;
}
