"use strict";
// Runs the constant `model`, an export of the model or of its portrait, on the row that the controls hold. PANEL describes
// the columns, the rows to start from and the target.
(() => {
const panel = document.getElementById("panel"), labels = PANEL.labels;
const find = name => panel.querySelector(`[data-${name}]`);
const controls = [...panel.querySelectorAll("[data-column]")].map((element, k) => ({
  ...PANEL.columns[k], element,
  slider: element.querySelector("[type=range]"),
  field: element.querySelector("select, input:not([type=range])"),
  move: element.querySelector("[data-move]"),
  note: element.querySelector("[data-note]"),
}));
let cells = {}, start = 0, chosen = null, cost = 0;

// Texts.

const minus = text => text.replaceAll("-", "−");
const fixed = (value, digits) => Number.isFinite(value) ?
  minus(value.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: Math.abs(value) >= 1e4})) :
  value > 0 ? "∞" : "−∞";
const number = value => fixed(value, PANEL.decimals);
const percent = p => p < .0005 ? "<0.1%" : p > .9995 ? ">99.9%" : `${(100 * p).toFixed(1)}%`;
const signed = value => (value > 0 ? "+" : "") + (labels ? fixed(value, 2) : number(value));
const shown = (column, value) => value === null ? "missing" :
  column.kind === "number" ? fixed(value, column.decimals) : column.kind === "date" ? value.replace("T", " ") : value;
const probability = logOdds => percent(1 / (1 + Math.exp(-logOdds)));

// Cells. A date is a number of days on its slider, and text in its field and in a row.

const daysOf = text => Date.parse(`${text}${text.includes("T") ? "Z" : "T00:00Z"}`) / 864e5;
const dateOf = (days, like) => new Date(Math.round(days * 1440) * 6e4).toISOString().slice(0, like.type === "date" ? 10 : 16);
const asNumber = (column, value) => column.kind === "date" ? daysOf(value) : value;
const asCell = (column, value) => column.kind === "date" ? dateOf(value, column.field) : Number(value.toFixed(column.decimals));

function write(column, value) {
  cells[column.name] = value;
  column.field.value = value === null ? "" : value;
  if (column.slider && value !== null) column.slider.value = asNumber(column, value);
  column.element.classList.toggle("empty", value === null);
}

function read(column) {
  const {value} = column.field;
  return value === "" ? null : column.kind === "number" ? Number(value) : value;
}

// Predictions.

const top = P => labels.reduce((best, label, k) => P[k] > P[best] ? k : best, 0);
const predicted = row => labels ? Object.values(model.predictProba(row)) : model.predict(row);

function showClasses(P) {
  const best = top(P), set = model.predictSet?.(cells).map(String);
  find("answer").textContent = labels[best];
  panel.querySelectorAll("[data-class]").forEach((bar, k) => {
    bar.style.setProperty("--share", `${100 * P[k]}%`);
    bar.lastElementChild.textContent = percent(P[k]);
    bar.setAttribute("aria-pressed", String(k === (chosen ?? best)));
  });
  if (set) find("certain").textContent = `Plausible at 90%: ${set.join(", ")}`;
}

function showNumber(y) {
  const [low, high] = PANEL.range, place = value => `${100 * Math.max(0, Math.min(1, (value - low) / (high - low)))}%`;
  find("answer").textContent = number(y);
  find("strip").style.setProperty("--at", place(y));
  if (!model.predictInterval) return;
  const ends = model.predictInterval(cells);
  find("strip").style.setProperty("--low", place(ends[0]));
  find("strip").style.setProperty("--high", place(ends[1]));
  find("certain").textContent = `90% interval: ${number(ends[0])} to ${number(ends[1])}`;
}

function showNotes() {
  const why = {range: "outside the values of training", category: "unknown in training", missing: "never missing in training"};
  const unusual = new Map(model.unusual(cells).map(({column, why: reason}) => [column, why[reason]]));
  for (const {name, note} of controls) note.textContent = unusual.get(name) ?? "";
}

function showContributions() {
  const began = performance.now(), explained = Object.entries(model.explain(cells));
  cost = performance.now() - began;
  const k = explained.length > 1 ? labels ? chosen ?? top(predicted(cells)) : 0 : 0;
  const [name, {baseline, prediction, contributions}] = explained[k];
  const scale = Math.max(PANEL.scale[k], ...Object.values(contributions).map(Math.abs));
  for (const {name: column, move} of controls) {
    const value = contributions[column];
    move.style.setProperty("--width", `${50 * Math.abs(value) / scale}%`);
    move.classList.toggle("lowers", value < 0);
    move.lastElementChild.textContent = signed(value);
  }
  find("sum").textContent = labels ?
    `Log-odds of ${name}: ${fixed(prediction, 2)} (${probability(prediction)}), from a baseline of ${fixed(baseline, 2)} (${probability(baseline)}).` :
    `Prediction ${number(prediction)}, from a baseline of ${number(baseline)}.`;
}

// What would change the answer: the nearest change of one column, or of two. The distance of two numbers is the share of
// the rows between them, that of a category the share of the rows outside it.

function rank(column, value) {
  const {values} = column, x = asNumber(column, value), last = values.length - 1;
  const k = values.findIndex(other => other >= x);
  if (k <= 0) return k < 0 ? 1 : 0;
  return (k - 1 + (x - values[k - 1]) / (values[k] - values[k - 1])) / last;
}

function distance(column, value) {
  const now = cells[column.name];
  if (column.kind === "category") return 1 - column.shares[column.categories.indexOf(value)];
  return Math.abs(rank(column, value) - (now === null ? .5 : rank(column, now)));
}

function options(column, most) {
  const all = column.kind === "category" ? column.categories.filter((_, k) => column.shares[k] > 0) : column.values.map(x => asCell(column, x));
  const every = Math.ceil(all.length / most);
  return all.filter((value, k) => value !== cells[column.name] && (column.kind === "category" || k % every === 0))
    .map(value => ({[column.name]: value, far: distance(column, value)})).sort((a, b) => a.far - b.far).slice(0, most);
}

// Moves each number of a change back towards the row as far as the answer stays changed.
function nearer(change, isChanged) {
  for (const column of controls) {
    let now = cells[column.name];
    if (!(column.name in change) || column.kind === "category" || now === null) continue;
    let from = asNumber(column, now), to = asNumber(column, change[column.name]);
    for (let i = 0; i < 12; i++) {
      const middle = asCell(column, (from + to) / 2);
      if (isChanged({...change, [column.name]: middle})) [to, change] = [asNumber(column, middle), {...change, [column.name]: middle}];
      else from = asNumber(column, middle);
    }
  }
  const columns = controls.filter(({name}) => name in change);
  return {...change, far: columns.reduce((sum, column) => sum + distance(column, change[column.name]), 0)};
}

function changes() {
  const row = {...cells}, goal = Number(find("goal")?.value), Y = predicted(row);
  const isChanged = ({far, ...change}) => {
    const other = predicted({...row, ...change});
    return labels ? top(other) !== top(Y) : (other >= goal) !== (Y >= goal);
  };
  const effect = new Map(), single = [];
  for (const column of controls) {
    const tried = options(column, 41), found = tried.find(isChanged);
    if (found) single.push(nearer(found, isChanged));
    else effect.set(column, Math.max(0, ...tried.map(({far, ...change}) => moved(predicted({...row, ...change}), Y, goal))));
  }
  single.sort((a, b) => a.far - b.far);
  const rest = controls.filter(column => effect.has(column)).sort((a, b) => effect.get(b) - effect.get(a)).slice(0, 6);
  const pairs = rest.flatMap((one, i) => rest.slice(i + 1).map(other => [one, other])).flatMap(([one, other]) => {
    const both = options(one, 12).flatMap(a => options(other, 12).map(b => ({...a, ...b, far: a.far + b.far})));
    const found = both.sort((a, b) => a.far - b.far).filter(({far}) => !single.length || far < single[0].far).find(isChanged);
    return found ? [nearer(found, isChanged)] : [];
  }).sort((a, b) => a.far - b.far);
  return [...single.slice(0, 3), ...pairs.slice(0, 1)].sort((a, b) => a.far - b.far);
}

// How far a prediction is moved towards another answer.
const moved = (other, Y, goal) => labels ? Y[top(Y)] - other[top(Y)] : Y >= goal ? Y - other : other - Y;

function showChanges() {
  const list = find("changes"), found = changes();
  list.replaceChildren(...found.map(({far, ...change}) => {
    const Y = predicted({...cells, ...change}), button = document.createElement("button"), item = document.createElement("li");
    const parts = controls.filter(({name}) => name in change).map(column =>
      `${column.name} ${shown(column, cells[column.name])} → ${shown(column, change[column.name])}`);
    const answer = document.createElement("b");
    answer.textContent = labels ? `${labels[top(Y)]} (${percent(Y[top(Y)])})` : number(Y);
    button.type = "button";
    button.append(parts.join(" and "), ": ", answer);
    button.addEventListener("click", () => {
      for (const column of controls) if (column.name in change) write(column, change[column.name]);
      update();
    });
    item.append(button);
    return item;
  }));
  find("unchanged").hidden = found.length > 0;
}

// Slow parts leave the page time to move: contributions follow at intervals, changes when the reader pauses.

let following = 0, pausing = 0;
function follow() {
  if (cost < 25) showContributions();
  else following ||= setTimeout(() => {
    following = 0;
    showContributions();
  }, cost);
}

function update() {
  const Y = predicted(cells);
  labels ? showClasses(Y) : showNumber(Y);
  showNotes();
  follow();
  clearTimeout(pausing);
  pausing = setTimeout(showChanges, 200);
  find("own").hidden = controls.some(({name}) => cells[name] !== PANEL.rows[start].cells[name]);
}

function restart() {
  start = find("rows").selectedIndex;
  chosen = null;
  for (const column of controls) write(column, PANEL.rows[start].cells[column.name] ?? null);
  if (find("own-answer")) find("own-answer").textContent = PANEL.rows[start].predicted;
  update();
}

for (const column of controls) {
  column.field.addEventListener("input", () => {
    if (!column.field.validity.badInput) write(column, read(column));
    update();
  });
  column.slider?.addEventListener("input", () => {
    write(column, asCell(column, Number(column.slider.value)));
    update();
  });
}
panel.querySelectorAll("[data-class]").forEach((bar, k) => bar.addEventListener("click", () => {
  chosen = k;
  update();
}));
find("goal")?.addEventListener("input", update);
find("rows").addEventListener("change", restart);
find("reset").addEventListener("click", restart);
if (find("goal")) find("goal").value = Object.values(model.explain(PANEL.rows[0].cells))[0].baseline.toFixed(PANEL.decimals);
panel.hidden = false;
restart();
})();
