// The page: connects the session of this tab with the panels.

import {$, fill} from "./dom.js";
import {forget} from "./colors.js";
import {Connection} from "./connection.js";
import * as controls from "./controls.js";
import * as curves from "./curves.js";
import * as data from "./data.js";
import * as diagram from "./diagram.js";
import {setFindings} from "./doctor.js";
import * as inspector from "./inspector.js";
import * as layers from "./layers.js";
import * as share from "./share.js";
import * as surface from "./surface.js";

const connection = new Connection(), QUIET = ["ack", "explain", "link", "open", "pace"];
let lessons = [], setup = null, maxUnits = 16, waiting = null, bannerTimer = 0, framesDrawn = 0;

/** Send a message; what the last one led to is no longer of interest. */
function send(type, values) {
  if (!QUIET.includes(type) && connection.socket?.readyState === WebSocket.OPEN) banner("");
  connection.send(type, values);
}

// What the server says.

connection.on("connected", () => {
  banner("");
  const lesson = new URLSearchParams(location.search).get("lesson") ?? "";
  send("open", {link: location.hash.slice(1), lesson: setup ? "" : lesson});
  send("pace", {speed: Number($("speed").value)});
});
connection.on("lost", () => banner("The server has stopped. Run chainrule playground again; to keep these settings, append the part of this address after #.", true));
connection.on("hello", message => {
  ({lessons, max_units: maxUnits} = message);
  fill($("lesson"), [["", "choose …"], ...lessons.map(({name, title}) => [name, title])], "");
  controls.setChoices(message.choices);
  layers.setChoices(message.choices, message.max_layers);
});
connection.on("thumbnails", data.setThumbnails);
connection.on("setup", message => {
  ({setup} = message);
  controls.setSetup(message);
  data.setSetup(message);
  layers.setLayers(setup.layers);
  share.setSetup(message);
  showLesson(setup.lesson);
});
connection.on("data", message => {
  surface.setData(message);
  data.setData(message);
  curves.reset(message.labels.length ? "accuracy" : "r2");
});
connection.on("network", message => {
  diagram.setNetwork(message, setup.layers, maxUnits);
  inspector.reset();
});
connection.on("frame", message => {
  if (!waiting) requestAnimationFrame(drawFrame);
  waiting = message;
});
connection.on("state", controls.setState);
connection.on("walk", inspector.setWalk);
connection.on("explained", inspector.setExplained);
connection.on("findings", message => setFindings(message, send));
connection.on("file", share.setFile);
connection.on("link", share.setLink);
connection.on("notice", ({text}) => banner(text));
connection.on("error", ({text}) => banner(`${capitalized(text)}${/[.?]$/.test(text) ? "" : "."}`, true));

/** Draw the latest frame, and say so: the server then sends the next one. */
function drawFrame() {
  const frame = waiting;
  waiting = null;
  controls.setClock(frame);
  surface.setFrame(frame);
  diagram.setFrame(frame);
  curves.add(frame);
  inspector.refresh();
  send("ack");
  document.body.dataset.frames = framesDrawn += 1;  // for tests
}

/** Return a message with a capital at its begin, unless that is a file's name. */
const capitalized = text => (/^\S+\.\S/.test(text) ? text : `${text[0].toUpperCase()}${text.slice(1)}`);

/** Show a message; "" hides it. An error stays for longer. */
function banner(text, isError = false) {
  const box = $("banner");
  clearTimeout(bannerTimer);
  box.hidden = !text;
  box.textContent = text;
  box.classList.toggle("error", isError);
  if (text && connection.socket?.readyState === WebSocket.OPEN) bannerTimer = setTimeout(() => { box.hidden = true; }, isError ? 9000 : 5000);
}

// Lessons.

function showLesson(name) {
  const lesson = lessons.find(each => each.name === name);
  $("lesson-card").hidden = !lesson;
  $("lesson").value = lesson ? name : "";
  if (!lesson) return;
  $("lesson-title").textContent = lesson.title;
  $("lesson-try").textContent = lesson.try;
  $("lesson-why").textContent = lesson.why;
}

$("lesson").addEventListener("change", () => { if ($("lesson").value) send("lesson", {lesson: $("lesson").value}); });
$("lesson-next").addEventListener("click", () => {
  const at = lessons.findIndex(({name}) => name === $("lesson").value);
  send("lesson", {lesson: lessons[(at + 1) % lessons.length].name});
});

window.addEventListener("hashchange", () => send("open", {link: location.hash.slice(1)}));

// Light and dark.

function redraw() {
  forget();
  surface.draw();
  curves.draw();
  data.drawThumbnails();
}

$("theme").addEventListener("click", () => {
  const isDark = getComputedStyle(document.documentElement).colorScheme.startsWith("dark");
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new ResizeObserver(() => { surface.draw(); curves.draw(); }).observe($("surface"));

// Start.

controls.start(send);
data.start(send, text => banner(text, true));
layers.start(send);
share.start(send);
inspector.start(send);
diagram.onAction({
  units: layers.addUnits, edit: layers.open, hover: inspector.hover, choose: inspector.choose, chooseUnit: inspector.chooseUnit, unit: surface.showUnit,
});
connection.connect();
