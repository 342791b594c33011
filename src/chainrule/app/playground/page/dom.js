// Small helpers: elements, numbers as people read them, canvases at the screen's resolution.

export const $ = id => document.getElementById(id);

/**
 * Return a new element; `options` are properties, except `attrs`, and `children` are nodes or texts.
 * @param {string} tag
 * @param {object} [options]
 * @param {...(Node|string)} children
 */
export function el(tag, {attrs = {}, ...options} = {}, ...children) {
  const element = Object.assign(document.createElement(tag), options);
  for (const [name, value] of Object.entries(attrs)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Return an SVG element with attributes.
 * @param {string} tag
 * @param {object} [attrs]
 */
export function svg(tag, attrs = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attrs)) element.setAttribute(name, value);
  return element;
}

/**
 * Return a number with so many significant digits and a true minus.
 * @param {number} value
 * @param {number} [digits]
 */
export function show(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Math.abs(value) < 1e-200) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-4 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

/**
 * Return a number with a fixed number of decimals.
 * @param {number} value
 * @param {number} decimals
 */
export const fixed = (value, decimals) =>
  value === null || !Number.isFinite(value) ? "–" : value.toFixed(decimals).replace("-", "−");

/**
 * Fit a canvas to its box at the screen's resolution; return its context, in CSS pixels, and its size.
 * @param {HTMLCanvasElement} canvas
 */
export function fit(canvas) {
  const {clientWidth: width, clientHeight: height} = canvas, ratio = Math.min(devicePixelRatio || 1, 2);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return {context, width, height};
}

/**
 * Fill a select with options; each is a value, or [value, label].
 * @param {HTMLSelectElement} select
 * @param {Array} options
 * @param {string} [chosen]
 */
export function fill(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(option => {
    const [value, label] = Array.isArray(option) ? option : [option, String(option).replaceAll("_", " ")];
    return el("option", {value, textContent: label, selected: value === chosen});
  }));
}

/**
 * Save content as a file.
 * @param {string} name
 * @param {BlobPart} content
 * @param {string} type
 */
export function save(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], {type}));
  el("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
