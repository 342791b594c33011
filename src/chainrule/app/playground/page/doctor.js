// The doctor's findings, each with a button that applies its remedy.

import {$, el} from "./dom.js";

let shown = "";

/**
 * Show findings; `send(type, values)` sends a message.
 * @param {object} message
 * @param {function(string, object=): void} send
 */
export function setFindings({findings, failure = ""}, send) {
  const key = JSON.stringify([findings, failure]);
  if (key === shown) return;  // a live region reads what changes
  shown = key;
  const box = $("findings");
  if (!findings.length) { box.replaceChildren(el("p", {className: "hint", textContent: failure || "No findings so far."})); return; }
  box.replaceChildren(...findings.map(({kind, message, remedy, more, label, changes}) => {
    const apply = () => send(...(Object.keys(changes).length ? ["set", {changes}] : ["play", {}]));
    return el("article", {className: "finding", attrs: {"data-kind": kind}}, el("p", {textContent: `${message[0].toUpperCase()}${message.slice(1)}${more ? ` (and ${more} more like this)` : ""}.`}), el("p", {className: "pale", textContent: `${remedy}.`}),
      el("button", {type: "button", textContent: label, onclick: apply}));
  }));
}
