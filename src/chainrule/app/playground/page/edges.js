// The geometry of the curves between units: their form, which one is near a point, and where a number has room.

const NEAR = 9, LABEL_WIDTH = 52, LEAST_WIDTH = 46;

/**
 * Return the path of a curve.
 * @param {object} edge
 */
export function pathOf({x1, y1, x2, y2}) {
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

/**
 * Return the height of a curve at a share of its width: x(t) = 1.5 t (1 - t) + t^3 is solved by bisection.
 * @param {object} edge
 * @param {number} share
 */
export function heightAt({y1, y2}, share) {
  let low = 0, high = 1;
  for (let k = 0; k < 12; k++) {
    const t = (low + high) / 2, x = 1.5 * t * (1 - t) + t * t * t;
    if (x < share) low = t; else high = t;
  }
  return y1 + (y2 - y1) * (3 * low * low - 2 * low * low * low);
}

/**
 * Return the edge closest to a point, if one is near.
 * @param {Array<object>} edges
 * @param {number} x
 * @param {number} y
 */
export function closest(edges, x, y) {
  let best = null, least = NEAR;
  for (const edge of edges) {
    if (x < edge.x1 || x > edge.x2) continue;
    const distance = Math.abs(heightAt(edge, (x - edge.x1) / (edge.x2 - edge.x1)) - y);
    if (distance < least) { least = distance; best = edge; }
  }
  return best;
}

/**
 * Return where a number has room on a curve: at the end with more units, if there are few at the other; or null.
 * @param {object} edge
 * @param {number} sources
 * @param {number} targets
 */
export function labelPlace(edge, sources, targets) {
  const {x1, x2, i, j} = edge, few = Math.min(sources, targets), width = x2 - x1;
  if (few * LEAST_WIDTH > 0.8 * width) return null;
  const spread = 0.8 * Math.min(1, (few * LABEL_WIDTH) / width);
  const share = targets >= sources ? 0.93 - (spread * (i + 0.5)) / few : 0.07 + (spread * (j + 0.5)) / few;
  return {x: x1 + width * share, y: heightAt(edge, share) + 3};
}
