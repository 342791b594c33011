// Colors: blue for negative and class 0, orange for positive and class 1, which all kinds of color vision tell apart.

const tables = {};

/** Forget the colors that were read: the theme has changed. */
export function forget() {
  for (const name of Object.keys(tables)) delete tables[name];
}

/**
 * Return a color of the style sheet, such as "ink", as text.
 * @param {string} name
 */
export function color(name) {
  return (tables[name] ??= getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
}

/**
 * Return a color as [r, g, b].
 * @param {string} name
 */
export function rgb(name) {
  const hex = color(name);
  return (tables[`rgb ${name}`] ??= [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)));
}

/** Return the color of a class. */
export const classColor = k => color(`class-${k % 8}`);

/** Return the 256 colors, as 32-bit pixels, from blue by way of the neutral color to orange. */
function diverging(pale) {
  return (tables[`diverging ${pale}`] ??= Uint32Array.from({length: 256}, (_, i) => {
    const share = (i - 128) / 127, end = rgb(share < 0 ? "negative" : "positive"), middle = rgb("neutral");
    return pixel(mix(middle, end, Math.min(1, Math.abs(share)) ** 0.85 * (pale ? 0.6 : 0.92)));
  }));
}

/**
 * Return the pixels (n) of probabilities of several classes: the classes' colors mixed.
 * @param {Uint8Array} planes
 * @param {number} n
 */
export function mixture(planes, n) {
  const count = planes.length / n, colors = Array.from({length: count}, (_, k) => rgb(`class-${k % 8}`));
  const pixels = new Uint32Array(n), neutral = rgb("neutral");
  for (let i = 0; i < n; i++) {
    let total = 0, r = 0, g = 0, b = 0;
    for (let k = 0; k < count; k++) {
      const weight = planes[k * n + i] ** 2;  // squared: the likeliest class shows
      total += weight; r += weight * colors[k][0]; g += weight * colors[k][1]; b += weight * colors[k][2];
    }
    total ||= 1;
    pixels[i] = pixel(mix(neutral, [r / total, g / total, b / total], 0.6));
  }
  return pixels;
}

const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));
const pixel = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/**
 * Paint pixels, side by side in a square, into a canvas of that size.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint32Array} pixels
 */
export function paint(canvas, pixels) {
  const side = Math.round(Math.sqrt(pixels.length));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), side, side), 0, 0);
}

/**
 * Return the pixels of a map of bytes, 128 being neutral; `pale` leaves contrast for rows drawn on it.
 * @param {Uint8Array} bytes
 * @param {boolean} [pale]
 */
export function pixels(bytes, pale = false) {
  const table = diverging(pale), result = new Uint32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) result[i] = table[bytes[i]];
  return result;
}

/**
 * Draw the marker of a class: form and color tell it apart.
 * @param {CanvasRenderingContext2D} context
 * @param {number} kind
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
export function marker(context, kind, x, y, r) {
  context.beginPath();
  if (kind % 4 === 0) context.arc(x, y, r, 0, 2 * Math.PI);
  else if (kind % 4 === 1) context.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76);
  else if (kind % 4 === 2) polygon(context, [[x, y - r * 1.2], [x + r * 1.1, y + r * 0.8], [x - r * 1.1, y + r * 0.8]]);
  else polygon(context, [[x, y - r * 1.25], [x + r * 1.25, y], [x, y + r * 1.25], [x - r * 1.25, y]]);
}

function polygon(context, points) {
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}
