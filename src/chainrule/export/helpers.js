/** CellError: a cell that is not what its column holds. */
export class CellError extends RangeError {
  /** @param {string} column @param {number} row @param {string} expected @param {unknown} value */
  constructor(column, row, expected, value) {
    const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
    super(`column ${JSON.stringify(column)}, row ${row}: expected ${expected}, got ${shown}`);
    this.name = "CellError";
    this.column = column;
    this.row = row;
    this.value = value;
  }
}

/** predict: the label, the number or the numbers for a row.
 * @param {Row} row @returns {Answer} */
export function predict(row) {
  return answer(rowPredictions([row])[0]);
}

/** predictAll: `predict` for each of several rows.
 * @param {Iterable<Row>} rows @returns {Answer[]} */
export function predictAll(rows) {
  return rowPredictions([...rows]).map(answer);
}

/** predictProba: the probability of each label for a row.
 * @param {Row} row @returns {Record<LabelName, number>} */
export function predictProba(row) {
  const [P] = rowPredictions([row]);
  return /** @type {any} */ (Object.fromEntries(schema.labels.map((label, k) => [label, P[k]])));
}

/** predictInterval: an interval that contains the number of a new row with this probability, for a row.
 * @param {Row} row @param {number} [coverage] @returns {Interval} */
export function predictInterval(row, coverage = 0.9) {
  requireCoverage(coverage);
  requireColumns([row]);
  const Y = sums(encode(parts(cellsOf(row), 0)));
  const ends = Array.from({ length: schema.outputs }, (_, j) => [valueAt(Y, (1 - coverage) / 2, j), valueAt(Y, (1 + coverage) / 2, j)]);
  return /** @type {any} */ (schema.outputs > 1 ? ends : ends[0]);
}

/** predictSet: the plausible labels for a row, the most probable first. They contain the label of a new row with this
 * probability, with `byClass` also among the rows of each label.
 * @param {Row} row @param {number} [coverage] @param {{byClass?: boolean}} [options] @returns {Answer[]} */
export function predictSet(row, coverage = 0.9, { byClass = false } = {}) {
  requireCoverage(coverage);
  const [P] = rowPredictions([row]), top = largest(P);
  const order = [...P.keys()].sort((a, b) => P[b] - P[a]);
  return order.filter((k) => k === top || 1 - P[k] <= setLimit(coverage, byClass ? k : undefined)).map((k) => /** @type {any} */ (schema.labels[k]));
}

/** predictColumns: the probabilities or numbers for a table of arrays, row after row.
 * @param {Record<string, ArrayLike<unknown>>} columns
 * @param {Float64Array} [out] an array to fill: rows times schema.outputs
 * @returns {Float64Array} */
export function predictColumns(columns, out) {
  requireColumns([columns]);
  const cells = schema.columns.map(({ name }) => columns[name]), n = cells[0].length;
  const Y = out ?? new Float64Array(n * schema.outputs);
  if (cells.some((column) => column.length !== n)) throw new RangeError("columns must be of equal length");
  if (Y.length !== n * schema.outputs) throw new RangeError(`out must have length ${n * schema.outputs}, got ${Y.length}`);
  for (let i = 0; i < n; i++) Y.set(outputs((k) => cells[k][i], i), i * schema.outputs);
  return Y;
}

/** unusual: the cells of a row that training did not have: beyond its range, of an unknown category, or missing.
 * @param {Row} row @returns {{column: string, value: unknown, why: "range" | "category" | "missing"}[]} */
export function unusual(row) {
  const cell = cellsOf(row), p = parts(cell, 0), { readers } = model();
  return schema.columns.flatMap(({ name, min, max, categories, missing }, k) => {
    const value = cell(k), known = !Number.isNaN(p[k]);
    const why =
      known ? (p[k] < Number(readers[k](min)) || p[k] > Number(readers[k](max))) && "range"
      : categories && !isMissing(value) ? "category"
      : missing !== "seen" && "missing";
    return why ? [{ column: name, value, why }] : [];
  });
}

/** explain: the contribution of each column to the prediction for a row, for each output: Shapley values, which sum to
 * prediction - baseline. Columns count as in the row or, on average, as in a sample of training rows. For labels, the
 * unit is log-odds.
 * @param {Row} row @returns {Record<string, Explanation>} */
export function explain(row) {
  requireColumns([row]);
  const x = encode(parts(cellsOf(row), 0)), names = schema.columns.map(({ name }) => name);
  const none = coalition(x, []), all = coalition(x, names.map(() => 1));
  const phi = shapley(names.length, (inside) => coalition(x, inside));
  return Object.fromEntries(EXPLAINED.map((output, k) => [output, {
    baseline: none[k],
    prediction: all[k],
    contributions: Object.fromEntries(names.map((name, j) => [name, phi[j][k]])),
  }]));
}

/** selfTest: predict the golden rows in this file and compare with the model that it was exported from.
 * @returns {{rows: number, difference: number, ok: boolean}} */
export function selfTest() {
  const differences = GOLDEN.rows.flatMap((cells, i) => {
    const Y = checked(cells);
    return GOLDEN.predictions[i].map((y, j) => Math.abs(Y[j] - y) / GOLDEN.units[j]);
  });
  const difference = Math.max(...differences);
  return { rows: GOLDEN.rows.length, difference, ok: difference <= GOLDEN.tolerance };
}

/** rowPredictions: the probabilities or numbers for each row.
 * @param {readonly Row[]} rows */
function rowPredictions(rows) {
  requireColumns(rows);
  return rows.map((row, i) => outputs(cellsOf(row), i));
}

/** outputs: the probabilities or numbers for row i, from a function that returns its cell in column k.
 * @param {(k: number) => unknown} cell @param {number} i */
function outputs(cell, i) {
  return infer(encode(parts(cell, i)));
}

/** requireCoverage: refuse what is no probability between 0 and 1.
 * @param {number} coverage */
function requireCoverage(coverage) {
  if (!(coverage > 0 && coverage < 1)) throw new RangeError(`coverage must be strictly between 0 and 1, got ${coverage}`);
}

/** requireColumns: refuse a table in which no row has some column; in single rows, cells may be left out.
 * @param {readonly unknown[]} rows */
function requireColumns(rows) {
  for (const row of rows) if (typeof row !== "object" || !row) throw new TypeError(`a row must be an object of cells, got ${row}`);
  const absent = schema.columns.filter(({ name }) => !rows.some((row) => isArray(row) || Object.hasOwn(/** @type {object} */ (row), name)));
  if (rows.length && absent.length) throw new RangeError(`columns missing from the table: ${absent.map(({ name }) => JSON.stringify(name)).join(", ")}`);
}

/** cellsOf: a function that returns the cell of a row in column k.
 * @param {Row} row @returns {(k: number) => unknown} */
function cellsOf(row) {
  if (!isArray(row)) return (k) => Object.hasOwn(row, schema.columns[k].name) ? /** @type {any} */ (row)[schema.columns[k].name] : null;
  if (row.length !== schema.columns.length) throw new RangeError(`a row must have ${schema.columns.length} cells, got ${row.length}`);
  return (k) => row[k];
}

/** isArray: whether a row is an array of cells, in the order of schema.columns.
 * @param {unknown} row @returns {row is ArrayLike<unknown>} */
function isArray(row) {
  return Symbol.iterator in Object(row);
}

/** parts: the cells of a row as numbers, NaN where missing: numbers, days since 1970 or indices of categories.
 * @param {(k: number) => unknown} cell @param {number} i */
function parts(cell, i) {
  return model().readers.map((read, k) => {
    const number = read(cell(k));
    if (number === undefined) throw new CellError(schema.columns[k].name, i + 1, EXPECTED[schema.columns[k].kind] ?? "a finite number", cell(k));
    return number;
  });
}

/** largest: the index of the largest value.
 * @param {Float64Array} Y */
function largest(Y) {
  return Y.reduce((best, y, k) => y > Y[best] ? k : best, 0);
}

/** rawReader: a reader of finite 32-bit floats.
 * @param {Reader} read @returns {Reader} */
function rawReader(read) {
  return (value) => {
    const number = read(value);
    return Number.isFinite(Math.fround(number ?? NaN)) ? number : undefined;
  };
}

/** isNumber: whether text is a decimal number.
 * @param {string} text */
function isNumber(text) {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
}

/** valueOf: a cell's value as a number, NaN for objects and what is missing.
 * @param {unknown} value */
function valueOf(value) {
  return typeof value === "object" ? NaN : Number(value);
}

/** numberReader: a reader of numbers that `pattern` matches, with these marks, unit and words for missing values.
 * @param {RegExp} pattern @param {string} decimal @param {string} thousands @param {string} unit
 * @param {string[]} words @param {number[]} sentinels @returns {Reader} */
function numberReader(pattern, decimal, thousands, unit, words, sentinels) {
  /** @param {string} text */
  function parsed(text) {
    if (decimal === "." && thousands !== "." && isNumber(text)) return Number(text);
    const g = pattern.exec(text.replace(/\u2212/g, "-").replace(/\u2019/g, "'").split(/\s+/).join(" "))?.groups;
    if (!g) return TRUTH.get(text.toLowerCase());
    const sign = g.sign + g.minus + (g.open ? "-" : ""), itsUnit = [g.before, g.after].filter(Boolean).join(" ");
    const [whole, ...rest] = g.digits.split(decimal), separator = /\D/.exec(whole)?.[0];
    const fits = !separator || ([" ", "'", thousands].includes(separator) && /^[1-9]\d{0,2}(_\d{2,3})*_\d{3}$/.test(whole.replaceAll(separator, "_")));
    if (!fits || !g.open !== !g.close || /^0[\d ']/.test(whole) || sign.length > 1 || (itsUnit && itsUnit !== unit)) return undefined;
    return Number(`${sign}${whole.replace(/\D/g, "")}.${rest.join(decimal) || 0}${g.exponent ?? ""}`);
  }
  return (value) => {
    if (isMissing(value) || isMissingWord(value, words)) return NaN;
    const number = typeof value === "string" ? parsed(value.trim()) : valueOf(value);
    return sentinels.includes(number ?? NaN) ? NaN : Number.isFinite(number) ? number : undefined;
  };
}

/** dateReader: a reader of dates, in ISO 8601 or as `other` reads them, as days since 1970 in UTC.
 * @param {string[]} words @param {(text: string) => Fields | undefined} [other] @param {boolean} [digits] whether a
 * date may be a number such as 20240301 @returns {Reader} */
function dateReader(words, other, digits) {
  return (value) => {
    if (value instanceof Date) return value.getTime() / 864e5;
    if (isMissing(value)) return NaN;
    if (typeof value !== "string" && !(digits && typeof value === "number")) return undefined;
    const text = String(value).trim();
    if (isMissingWord(text, words)) return NaN;
    const fields = ISO_DATE.exec(text)?.groups ?? other?.(text.split(/\s+/).join(" "));
    return fields && daysOf(fields);
  };
}

/** daysOf: the days since 1970 of a date's fields; undefined if there is no such date.
 * @param {Fields} fields */
function daysOf(fields) {
  const of = (/** @type {string} */ name, least = 0) => Number(fields[name] ?? least);
  const date = new Date(0), year = of("year", 1970), month = of("month", 1) - 1, day = of("day", 1);
  date.setUTCFullYear(year, month, day);
  if (year < 1 || date.getUTCMonth() !== month || date.getUTCDate() !== day) return undefined;
  if (of("hour") > 23 || of("minute") > 59 || of("second") > 59 || of("hours") > 23 || of("minutes") > 59) return undefined;
  const offset = (fields.sign === "-" ? -60 : 60) * (of("hours") * 60 + of("minutes"));
  const seconds = (of("hour") * 60 + of("minute")) * 60 + of("second") - offset;
  return date.getTime() / 864e5 + (seconds + Math.floor(of("fraction") / 10 ** (fields.fraction ?? "").length * 1e6) / 1e6) / 86400;
}

/** written: a reader of the fields of dates that are written in an order of their own. Years of two digits are 1969 to
 * 2068, months may have names, hours two halves.
 * @param {RegExp} order @returns {(text: string) => Fields | undefined} */
function written(order) {
  return (text) => {
    const fields = order.exec(text)?.groups;
    const { year = "1970", month = "1", hour, half } = fields ?? {};
    const named = !/^\d/.test(month), place = MONTHS.indexOf(month.slice(0, 3).toLowerCase()) + 1;
    const wrong = (year.length === 2 && !named && text.includes("-")) || (half && (Number(hour) < 1 || Number(hour) > 12));
    return wrong || !fields ? undefined : {
      ...fields,
      year: year.length === 2 ? `${Number(year) < 69 ? 20 : 19}${year}` : year,
      month: named ? String(place) : month,
      hour: half ? String((Number(hour) % 12) + (/p/i.test(half) ? 12 : 0)) : hour,
    };
  };
}

/** categoryReader: a reader of categories as their indices, NaN where missing or unknown. A cell that equals no
 * category matches the one that is spelled like it, else the one that differs only in case or blanks, else a word for
 * true or false where the categories are such words.
 * @param {string[]} names @returns {Reader} */
function categoryReader(names) {
  /** @param {(text: string) => string} key */
  function unique(key) {
    /** @type {Map<string, number>} */
    const places = new Map();
    names.forEach((name, i) => places.set(key(name), places.has(key(name)) ? -1 : i));
    return places;
  }
  const exact = unique((text) => text), spelled = unique(spelling), loose = unique(folded);
  /** @type {Map<string, number>} */
  const opposites = new Map();
  const pairs = OPPOSITES.filter((pair) => pair.every((word) => (loose.get(word) ?? -1) >= 0));
  if (pairs.length === 1 && (names.length === 2 || !pairs[0].includes("1")))
    for (const pair of names.length === 2 ? OPPOSITES : OPPOSITES.slice(0, -1))
      pair.forEach((word, k) => opposites.set(word, loose.get(pairs[0][k]) ?? -1));
  return (value) => {
    if (isMissing(value)) return NaN;
    if (typeof value === "object" || typeof value === "function") return undefined;
    const text = textOf(value), place = exact.get(text);
    if (place !== undefined) return place;
    const trimmed = text.trim(), key = folded(trimmed);
    const ways = [spelled.get(spelling(trimmed)), loose.get(key), opposites.get(key)];
    return ways.find((place) => (place ?? -1) >= 0) ?? NaN;
  };
}

/** folded: the canonical spelling without differences in case, width and blanks.
 * @param {string} text */
function folded(text) {
  return spelling(text.normalize("NFKC").split(/\s+/).join(" ").toUpperCase().toLowerCase());
}

/** spelling: the canonical spelling of a category: "01" and "1.0" become "1", "true" becomes "True".
 * @param {string} text */
function spelling(text) {
  if (TRUTH.has(text.toLowerCase())) return textOf(TRUTH.get(text.toLowerCase()) === 1);
  return /^[+-]?\d{1,15}(\.\d{1,15})?$/.test(text) ? textOf(Number(text)) : text;
}

/** textOf: the name of a cell's category, as Python writes numbers and truth values.
 * @param {unknown} value */
function textOf(value) {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Number.isInteger(value)) return String(BigInt(Number(value)));
  return typeof value === "number" && Math.abs(value) < 1e-4 ? value.toExponential().replace(/-(\d)$/, "-0$1") : String(value);
}

/** isMissing: whether a cell is null, undefined, NaN or text without anything but blanks.
 * @param {unknown} value */
function isMissing(value) {
  return value === null || value === undefined || Number.isNaN(value) || (typeof value === "string" && !value.trim());
}

/** isMissingWord: whether text stands for a missing number or date.
 * @param {unknown} text @param {string[]} words */
function isMissingWord(text, words) {
  return typeof text === "string" && (MISSING_WORDS.has(text.trim().toLowerCase()) || words.includes(text.trim()));
}

/** smoothClip: z / sqrt(1 + (z / 3)^2) with z = (x - center) scale; 0 if x is missing.
 * @param {number} x @param {number} center @param {number} scale */
function smoothClip(x, center, scale) {
  const z = Math.max(-1e6, Math.min(1e6, (x - center) * scale));
  return z / Math.sqrt(1 + (z / 3) ** 2) || 0;
}

/** ramps: clip((x - low) / (high - low), 0, 1) for each pair of neighboring edges; 0 if x is missing.
 * @param {Float32Array} X @param {number} at @param {number} x @param {number[]} edges */
function ramps(X, at, x, edges) {
  for (let j = 1; j < edges.length; j++)
    X[at + j - 1] = Math.max(0, Math.min(1, (x / 2 - edges[j - 1] / 2) / (edges[j] / 2 - edges[j - 1] / 2))) || 0;
}

/** waves: the sine and cosine of 2 pi x / period; 0 if x is missing.
 * @param {Float32Array} X @param {number} at @param {number} x @param {number} period */
function waves(X, at, x, period) {
  const angle = x * ((2 * Math.PI) / period);
  X[at] = Math.sin(angle) || 0;
  X[at + 1] = Math.cos(angle) || 0;
}

/** yearOf: the year of days since 1970.
 * @param {number} days */
function yearOf(days) {
  return new Date(Math.floor(days) * 864e5).getUTCFullYear();
}

/** monthOf: the month of days since 1970, 0 for January.
 * @param {number} days */
function monthOf(days) {
  return new Date(Math.floor(days) * 864e5).getUTCMonth();
}

/** weekdayOf: the day of the week of days since 1970, 0 for Monday.
 * @param {number} days */
function weekdayOf(days) {
  return (new Date(Math.floor(days) * 864e5).getUTCDay() + 6) % 7;
}

/** hourOf: the hours since midnight of days since 1970.
 * @param {number} days */
function hourOf(days) {
  return 24 * (days - Math.floor(days));
}

/** affine: x W + b for n outputs, each of which takes a block of k values. F holds W by outputs, then b.
 * @param {Float64Array} x @param {number} k @param {number} n @param {Float32Array} F @param {number} at */
function affine(x, k, n, F, at) {
  const Y = new Float64Array(n), perBlock = (n * k) / x.length;
  for (let j = 0; j < n; j++) Y[j] = dot(x, Math.floor(j / perBlock) * k, k, F, at + j * k) + F[at + n * k + j];
  return Y;
}

/** quantized: (x W) scale + b with 8-bit weights. B holds W by outputs, F scale and b.
 * @param {Float64Array} x @param {number} n @param {Int8Array} B @param {number} atB @param {Float32Array} F
 * @param {number} at */
function quantized(x, n, B, atB, F, at) {
  const Y = new Float64Array(n), k = x.length;
  for (let j = 0; j < n; j++) Y[j] = dot(x, 0, k, B, atB + j * k) * F[at + j] + F[at + n + j];
  return Y;
}

/** dot: the product of k values of x and of W, in four sums, which a processor computes at the same time.
 * @param {Float64Array} x @param {number} from @param {number} k @param {Float32Array | Int8Array} W @param {number} at */
function dot(x, from, k, W, at) {
  let a = 0, b = 0, c = 0, d = 0;
  const end = from + k;
  for (; from + 3 < end; from += 4, at += 4) {
    a += x[from] * W[at];
    b += x[from + 1] * W[at + 1];
    c += x[from + 2] * W[at + 2];
    d += x[from + 3] * W[at + 3];
  }
  for (; from < end; from++, at++) a += x[from] * W[at];
  return a + b + (c + d);
}

/** scaled: (x - center) scale + shift, which F holds one after the other.
 * @param {Float64Array} x @param {Float32Array} F @param {number} at */
function scaled(x, F, at) {
  const n = x.length;
  return x.map((value, i) => (value - F[at + i]) * F[at + n + i] + F[at + 2 * n + i]);
}

/** picked: the columns of x whose n indices F holds.
 * @param {Float64Array} x @param {number} n @param {Float32Array} F @param {number} at */
function picked(x, n, F, at) {
  return new Float64Array(n).map((_, j) => x[F[at + j]]);
}

/** lookedUp: for each index in x a row of n values; F holds their first rows, their largest indices and the table.
 * @param {Float64Array} x @param {number} n @param {Float32Array} F @param {number} at */
function lookedUp(x, n, F, at) {
  const m = x.length;
  return new Float64Array(m * n).map((_, i) => {
    const j = Math.floor(i / n), index = Math.trunc(Math.max(0, Math.min(F[at + m + j], x[j])));
    return F[at + 2 * m + (F[at + j] + index) * n + (i % n)];
  });
}

/** normalized: (x - mean) / sqrt(variance + epsilon).
 * @param {Float64Array} x @param {number} epsilon */
function normalized(x, epsilon) {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  return x.map((value) => (value - mean) / Math.sqrt(variance + epsilon));
}

/** softmax: exp(z_k) / sum_j exp(z_j).
 * @param {Float64Array} z */
function softmax(z) {
  const top = Math.max(...z), P = z.map((value) => Math.exp(value - top));
  const sum = P.reduce((total, value) => total + value, 0);
  return P.map((value) => value / sum);
}

/** residual: x + steps(x).
 * @param {Float64Array} x @param {(x: Float64Array) => Float64Array} steps */
function residual(x, steps) {
  const Y = steps(x);
  return x.map((value, i) => value + Y[i]);
}

/** appended: x, then steps(x).
 * @param {Float64Array} x @param {(x: Float64Array) => Float64Array} steps */
function appended(x, steps) {
  return Float64Array.from([...x, ...steps(x)]);
}

/** inOrder: x with all but the first of each block of values sorted.
 * @param {Float64Array} x @param {number} block */
function inOrder(x, block) {
  const Y = x.slice();
  for (let i = 0; i < Y.length; i += block) Y.subarray(i + 1, i + block).sort();
  return Y;
}

/** calibrated: the value at a level in column j of the n of a table in F, whose rows are thousandths; a level between
 * two of them is rounded outwards.
 * @param {number} level @param {number} at @param {number} n @param {number} j */
function calibrated(level, at, n, j) {
  const exact = Math.round(level * 1e12) / 1e9, k = level < 0.5 ? Math.floor(exact) : Math.ceil(exact);
  return k < 1 ? -Infinity : k > 999 ? Infinity : model().F[at + (k - 1) * n + j];
}

/** contrasted: the value at a place among quantiles, and its distance from the median times a power of their spread.
 * @param {Float64Array} v @param {number} place @param {number} power @param {number} typical */
function contrasted(v, place, power, typical) {
  const middle = v[v.length >> 1], quarter = v.length >> 2, spread = v[v.length - 1 - quarter] - v[quarter];
  return middle + (interpolated(v, place, middle) - middle) * Math.max(spread / typical, 2 ** -23) ** power;
}

/** interpolated: the value at a place among increasing values, of which beyond the ends each lies as far from the next
 * as the end from the middle one.
 * @param {Float64Array} v @param {number} place @param {number} middle */
function interpolated(v, place, middle) {
  const last = v.length - 1, k = Math.min(Math.floor(place), last - 1);
  if (place < 0) return v[0] + place * (middle - v[0]);
  if (place > last) return v[last] + (place - last) * (v[last] - middle);
  return v[k] + (place - k) * (v[k + 1] - v[k]);
}

/** coalition: the mean prediction for the background rows with the values of x in the columns that are inside.
 * @param {Float64Array} x @param {number[]} inside */
function coalition(x, inside) {
  const { F } = model(), n = x.length, mean = new Float64Array(schema.outputs);
  for (let i = 0; i < N_BACKGROUND; i++)
    infer(x.map((value, k) => (inside[PLACES[k]] ? value : F[BACKGROUND + i * n + k]))).forEach((y, j) => (mean[j] += y / N_BACKGROUND));
  return inUnit(mean);
}

/** logOdds: the log-odds of each label against all others, or of the second of two.
 * @param {Float64Array} P */
function logOdds(P) {
  const log = (/** @type {number} */ p) => Math.log(Math.max(p, LEAST_PROBABILITY));
  const odds = P.map((p, k) => log(p) - log(P.reduce((sum, other, j) => (j === k ? sum : sum + other), 0)));
  return P.length === 2 ? odds.subarray(1) : odds;
}

/** everyCoalition: the Shapley values of d columns from the values of all their coalitions.
 * @param {number} d @param {(inside: number[]) => Float64Array} value */
function everyCoalition(d, value) {
  const columns = [...Array(d).keys()], coalitions = [...Array(2 ** d).keys()].map((S) => columns.map((j) => (S >> j) & 1));
  const v = coalitions.map(value), size = coalitions.map((inside) => inside.reduce((sum, one) => sum + one, 0));
  const weight = [1 / d];
  for (let s = 1; s < d; s++) weight.push((weight[s - 1] * s) / (d - s));
  return columns.map((j) => v[0].map((_, k) => v.reduce((sum, { [k]: y }, S) => sum + (coalitions[S][j] ? weight[size[S] - 1] * (y - v[S - 2 ** j][k]) : 0), 0)));
}

/** orders: the Shapley values of columns as means over some of their orders.
 * @param {number[][]} orders @param {(inside: number[]) => Float64Array} value */
function orders(orders, value) {
  const none = value([]), phi = orders[0].map(() => none.map(() => 0));
  for (const order of orders) {
    const inside = order.map(() => 0);
    let before = none;
    for (const j of order) {
      inside[j] = 1;
      const after = value(inside);
      after.forEach((y, k) => (phi[j][k] += (y - before[k]) / orders.length));
      before = after;
    }
  }
  return phi;
}

/** floats: 32-bit numbers from base64.
 * @param {string} text */
function floats(text) {
  const view = new DataView(bytes(text).buffer);
  return new Float32Array(view.byteLength / 4).map((_, i) => view.getFloat32(4 * i, true));
}

/** bytes: bytes from base64.
 * @param {string} text */
function bytes(text) {
  const characters = atob(text);
  return new Uint8Array(characters.length).map((_, i) => characters.charCodeAt(i));
}

/** frozen: a value that nothing can change, nor anything within it.
 * @template T @param {T} value @returns {T} */
function frozen(value) {
  if (value && typeof value === "object") Object.values(value).forEach(frozen);
  return Object.freeze(value);
}
