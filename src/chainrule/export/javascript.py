"""JavaScript: a model as one ES module without dependencies, or as one expression for a script within a page.

It runs in browsers, workers, Node, Deno and Bun, also under a strict content security policy: nothing is fetched and no
text is executed. Rows are objects of cells, read as the encoder reads them. Sums are double precision, weights 32-bit
or 8-bit. The functions that a model needs are taken from `helpers.js`, in which each is named by its comment.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data import formats
from chainrule.data.columns import Column
from chainrule.data.features import Feature, Index, Levels, Missing, Ramps, SmoothClip, Value, Wave, categories_of
from chainrule.data.targets import ClassTarget
from chainrule.export import steps as ir
from chainrule.export.calibration import Intervals
from chainrule.export.golden import TOLERANCE, Golden, SinglePrecision, in_single_precision
from chainrule.export.schema import as_json, notes_of, schema_of
from chainrule.export.writing import Export, stem_of
from chainrule.files.archive import Path
from chainrule.insight.explanation import LEAST_PROBABILITY, explained_outputs, orders_of
from chainrule.languages import JAVASCRIPT
from chainrule.model.predictor import Predictor

_LARGEST_EXPONENT = 708
"""Close to the largest number whose exponential is a finite double."""
_MAX_CATEGORIES_IN_TYPES = 50
"""A longer union of literal types helps nobody who types a category."""


def to_js(
    model: ir.Model,
    path: Path,
    int8: bool = False,
    inline: bool = False,
    rows: object = None,
    contributions: bool = False,
) -> Export:
    """Write a model as an ES module.

    Parameters
    ----------
    model : Predictor, Ensemble or Network
        An ensemble or a network takes its own columns, x0, x1, ..., a predictor raw cells.
    path : str or Path
    int8 : bool
        Store weights as 8-bit integers with one scale per output column, in a quarter of the bytes. The quantization
        error is returned as `loss`.
    inline : bool
        Write the constant NAME, an object of the same functions, for a script within a page. NAME is the file's stem.
    rows : table or (n, n_in), optional
        Measure the quantization error on these rows. Default: on the golden rows.
    contributions : bool
        Add the function `explain`, and with it the sample of encoded training rows that the model contains.

    Raises
    ------
    ValueError
        If the model contains a custom layer, activation or Loss class, or no rows to explain with. Nothing is written.
    """
    single = in_single_precision(model, int8, rows)
    return single.write(path, module(model, single, contributions, script_name(path) if inline else None))


def module(model: ir.Model, single: SinglePrecision, contributions: bool = False, name: str | None = None) -> str:
    """Return the text of a module, in ASCII; with a name, of a script that defines the constant of that name."""
    weights = _Weights()
    explained = _explain_functions(model, weights) if contributions else []
    text = _module(single, weights, explained)
    return text if name is None else _as_expression(text, name)


def script_name(path: Path) -> str:
    """Return the name of the constant of an inline export: the file's stem, unless it is a word of the language."""
    name = stem_of(path)
    return f"{name}_" if name in _KEYWORDS.split() else name


_KEYWORDS = (
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends "
    "false finally for function if implements import in instanceof interface let new null package private protected "
    "public return static super switch this throw true try typeof var void while with yield"
)


def _module(single: SinglePrecision, weights: _Weights, explained: Sequence[str]) -> str:
    """Return the text of the module, with the functions for explanations."""
    program, intervals, sets = single.program, single.intervals, single.set_limits
    model = [
        _encode_function(program),
        *_functions(program),
        *_infer_functions(program, "infer", weights, program.exponential),
        _answer_function(program),
        *([] if intervals is None else _interval_functions(intervals, weights)),
        *([] if sets is None else [_set_function(sets, weights)]),
        *explained,
        _checks_function(single.golden),
        _model_function(program, weights),
    ]
    public = ["predict", "predictAll", "predictColumns", "unusual", "selfTest", "CellError"]
    public += ["predictProba"] if program.labels is not None else []
    public += ["predictInterval"] if intervals is not None else []
    public += ["predictSet"] if sets is not None else []
    public += ["explain"] if explained else []
    text, schema = "\n\n".join(model), _schema(program)
    helpers = _helpers_for(schema + text, public)
    constants = [f"const {name} = {value};" for name, value in _constants().items() if name in helpers + text]
    data = [f"const WEIGHTS = {_quoted(weights.text(weights.floats))};"]
    data += [f"const WEIGHTS_8_BIT = {_quoted(weights.text(weights.integers))};"] if weights.integers else []
    opening = _opening(program, [*notes_of(program), *single.notes])
    parts = [opening, schema, helpers, "\n".join(constants), text, *data, _golden(program, single.golden)]
    return "\n\n".join(parts) + "\n"


def _as_expression(module: str, name: str) -> str:
    """Return a module as the definition of one constant, an object, without types and indentation."""
    exports = re.findall(r"^export (?:const|function|class) (\w+)", module, re.M)
    opening, body = module.split("\n */\n", 1)
    body = re.sub(r"\n\s*", "\n", re.sub(r"^export ", "", _COMMENT.sub("", body), flags=re.M)).strip()
    title = opening.partition(" *\n")[0]
    return f"{title} */\nconst {name} = (() => {{\n{body}\nreturn {{ {', '.join(exports)} }};\n}})();\n"


# Texts.


def _quoted(value: Any) -> str:
    """Return plain data as ASCII source that can stand in a script within a page, and in a comment."""
    return json.dumps(value, separators=(",", ":")).replace("<", r"\u003c").replace("*", r"\u002a")


def _regular_expression(pattern: str) -> str:
    """Return a pattern of Python for a whole text as a literal of JavaScript, which names groups otherwise."""
    translated = pattern.replace("(?P<", "(?<").replace("/", r"\/")
    text = f"/^(?:{translated})$/u"
    return "".join(c if ord(c) < 128 else f"\\u{{{ord(c):x}}}" for c in text)


def _opening(program: ir.Program, notes: Sequence[str]) -> str:
    """Return the opening comment and the types of a row, an answer and the readers of cells."""
    schema = schema_of(program)
    subject = "the outputs of a network" if schema["target"] is None else _quoted(schema["target"])
    lines = [f"Predicts {subject}. Generated by chainrule {schema['version']}.", *notes]
    labels = schema["labels"]
    answer = "number[]" if program.columns is None or program.n_out > 1 else "number"
    answer = answer if labels is None else " | ".join(map(_quoted, labels))
    names = " | ".join(_quoted(_name_of(label)) for label in labels or ())
    types = [
        f"@typedef {{{{{', '.join(map(_cell_type, program.inputs))}}}}} CellsByName",
        "@typedef {CellsByName | ArrayLike<unknown>} Row an object, or an array in the order of schema.columns",
        f"@typedef {{{answer}}} Answer",
        f"@typedef {{[low: number, high: number]{'[]' * (program.n_out > 1)}}} Interval",
        *([f"@typedef {{{names}}} LabelName"] if names else []),
        "@typedef {{baseline: number, prediction: number, contributions: Record<string, number>}} Explanation",
        "@typedef {(value: unknown) => number | undefined} Reader",
        "@typedef {Record<string, string | undefined>} Fields",
    ]
    return "/**\n" + "\n".join(f" * {line}" for line in [*lines, "", *types]).replace(" * \n", " *\n") + "\n */"


def _cell_type(column: Column) -> str:
    """Return the type of a column's cells as a property."""
    kinds = {"dates": "Date | string", "X": "number | string", "numbers": "number | string | boolean"}
    if column.source == "categories":
        names = categories_of(column) or []
        literals = " | ".join(map(_quoted, names[:_MAX_CATEGORIES_IN_TYPES]))
        kind = f"{literals} | (string & {{}}) | number | boolean"
    else:
        kind = kinds[column.source]
    return f"{_quoted(column.name)}: {kind}" + ("" if column.source == "X" else " | null | undefined")


def _name_of(label: Any) -> str:
    """Return a label as the name of a property."""
    return str(label).lower() if isinstance(label, bool) else f"{label:g}" if isinstance(label, float) else str(label)


def _schema(program: ir.Program) -> str:
    """Return the definition of the schema."""
    value = f"/* @__PURE__ */ frozen({as_json(program)})"
    return f"/** What the model takes and predicts. */\nexport const schema = {value};"


def _golden(program: ir.Program, golden: Golden) -> str:
    rows: Any = golden.rows
    rows = _short(golden.X) if program.columns is None else [[row[of.name] for of in program.columns] for row in rows]
    predictions, units = map(_short, golden.all_predictions)
    data = {"rows": rows, "predictions": predictions, "units": units, "tolerance": TOLERANCE}
    return f"const GOLDEN = {_quoted(data)};"


def _checks_function(golden: Golden) -> str:
    """Return the function from a golden row to what is compared with its golden predictions."""
    values = ["...outputs(cellsOf(row), 0)"]
    if golden.ends is not None:
        values.append("...predictInterval(row).flat()")
    if golden.sets is not None:
        values.append("...schema.labels.map((label) => Number(predictSet(row).includes(/** @type {any} */ (label))))")
    return f"""\
/** @param {{any}} row @returns {{number[]}} */
function checked(row) {{
  return [{", ".join(values)}];
}}"""


def _short(values: Array) -> Any:
    """Return numbers as plain data with no more digits than a float32 has."""
    return values.astype(np.float32).astype("U").astype(np.float64).tolist()


# Reading and encoding.

_EXPECTED = {"date": "a date such as 2024-03-01", "category": "a category"}
"""What an error says of a column's cells, by its kind, where they are not numbers."""


def _constants() -> dict[str, str]:
    """Return the definitions of the constants that helpers use, by name."""
    return {
        "EXPECTED": f"/** @type {{Record<string, string>}} */ ({_quoted(_EXPECTED)})",
        "MISSING_WORDS": f"/* @__PURE__ */ new Set({_quoted('|'.join(sorted(formats.MISSING_WORDS)))}.split('|'))",
        "TRUTH": '/* @__PURE__ */ new Map([["true", 1], ["false", 0]])',
        "NUMBER": _regular_expression(formats.number_pattern("", "")),
        "ISO_DATE": _regular_expression(formats.ISO_DATE.pattern),
        "MONTHS": _quoted(formats.MONTHS),
        "OPPOSITES": _quoted(formats.OPPOSITES),
        "LEAST_PROBABILITY": repr(LEAST_PROBABILITY),
    }


def _reader(column: Column) -> str:
    """Return the reader of a column's cells."""
    if column.source == "categories":
        return f"categoryReader({_quoted(categories_of(column))})"
    if isinstance(column.format, formats.NumberFormat):
        unit = column.format.unit
        pattern = _regular_expression(formats.number_pattern(*_sides(unit))) if unit else "NUMBER"
        reader = f"numberReader({', '.join([pattern, *map(_quoted, column.format)])})"
        return f"rawReader({reader})" if column.source == "X" else reader
    order, words = column.format
    if order == "ISO 8601":
        return f"dateReader({_quoted(words)})"
    other = f"written({_regular_expression(formats.DATE_ORDERS[order].pattern)})"
    return f"dateReader({_quoted(words)}, {other}{', true' * (order == 'yyyymmdd')})"


def _sides(unit: str) -> tuple[str, str]:
    """Return the patterns of what may stand before a number, and of what after it, of a unit."""
    before, after = (unit if re.fullmatch(side, unit) else "" for side in (formats.BEFORE, formats.AFTER))
    if not before and not after:
        before, _, after = unit.partition(" ")
    literal = re.compile(r"[\\^$.*+?()[\]{}|]")
    return literal.sub(r"\\\g<0>", before), literal.sub(r"\\\g<0>", after)


def _encode_function(program: ir.Program) -> str:
    """Return the function that encodes the parts p of a row's cells."""
    lines, at = [], 0
    for k, column in enumerate(program.inputs):
        for feature in column.features:
            part = f"p[{k}]" if feature.part in ("", "days") else f"{feature.part}Of(p[{k}])"
            lines.append(PRINTERS[type(feature)](feature, part, at))
            at += feature.width
    if program.columns is None or all(column.source == "X" for column in program.columns):
        lines = ["X.set(p);"]
    body = "\n  ".join(lines)
    return f"""\
/** @param {{number[]}} p */
function encode(p) {{
  const X = new Float32Array({at});
  {body}
  return new Float64Array(X);
}}"""


def _levels(feature: Levels, x: str, at: int) -> str:
    if len(feature.categories) == 2:
        return f"X[{at}] = {x} >= 0 ? 2 * {x} - 1 : 0;"
    return f"if ({x} >= 0) X[{at} + {x}] = 1;"


PRINTERS: dict[type[Feature], Callable[[Any, str, int], str]] = {
    Value: lambda feature, x, at: f"X[{at}] = {x};",
    SmoothClip: lambda feature, x, at: f"X[{at}] = smoothClip({x}, {feature.center!r}, {feature.scale!r});",
    Ramps: lambda feature, x, at: f"ramps(X, {at}, {x}, {list(feature.edges)!r});",
    Missing: lambda feature, x, at: f"X[{at}] = Number(Number.isNaN({x}));",
    Levels: _levels,
    Index: lambda feature, x, at: f"X[{at}] = {x} >= 0 ? {x} + 1 : 0;",
    Wave: lambda feature, x, at: f"waves(X, {at}, {x}, {feature.period});",
}
"""From a kind of feature to the statement that fills its columns of X, given the part of the cell and the first."""


# Networks.


class _Weights:
    """The arrays of all steps, one after the other and equal ones once: floats, and integers of 8 bits."""

    def __init__(self) -> None:
        self.floats: dict[bytes, int] = {}
        self.integers: dict[bytes, int] = {}

    def add(self, *arrays: Array) -> int:
        """Append arrays to the floats and return the place of the first value."""
        return _append(self.floats, b"".join(array.astype("<f4").tobytes() for array in arrays), 4)

    def add_integers(self, array: Array) -> int:
        """Append an array to the integers and return the place of its first value."""
        return _append(self.integers, array.astype("i1").tobytes(), 1)

    @staticmethod
    def text(stored: Iterable[bytes]) -> str:
        """Return arrays as base64."""
        return b64encode(b"".join(stored)).decode()


def _append(places: dict[bytes, int], data: bytes, size: int) -> int:
    return places.setdefault(data, sum(map(len, places)) // size)


def _member(program: ir.Program, steps: Sequence[ir.Step], name: str, weights: _Weights) -> str:
    """Return the function of a network."""
    body = _statements(steps, program.n_in, weights, "  ")
    return f"""\
/** @param {{Float64Array}} x @param {{Float32Array}} F @param {{Int8Array}} B */
function {name}(x, F, B) {{
{body}
  return x;
}}"""


def _statements(steps: Sequence[ir.Step], width: int, weights: _Weights, indent: str) -> str:
    """Return the statements that apply steps to a row x of that width."""
    lines = []
    for step in steps:
        if isinstance(step, ir.Nested):
            body = _statements(step.steps, width, weights, indent + "  ")
            name = "residual" if isinstance(step, ir.ResidualBlock) else "appended"
            lines.append(f"{indent}x = {name}(x, (x) => {{\n{body}\n{indent}  return x;\n{indent}}});")
        else:
            lines.append(f"{indent}x = {_STEPS[type(step)](step, width, weights)};")
        width = step.width
    return "\n".join(lines)


def _block_affine(step: ir.BlockAffine, width: int, weights: _Weights) -> str:
    _, k, _ = step.W.shape
    return f"affine(x, {k}, {step.width}, F, {weights.add(step.W.transpose(0, 2, 1), step.b)})"


def _quantized(step: ir.Quantized, width: int, weights: _Weights) -> str:
    place = weights.add_integers(step.W.T)
    return f"quantized(x, {step.width}, B, {place}, F, {weights.add(step.scale, step.b)})"


_STEPS: dict[type[ir.Step], Callable[[Any, int, _Weights], str]] = {
    ir.Affine: lambda step, width, weights: f"affine(x, {width}, {step.width}, F, {weights.add(step.W.T, step.b)})",
    ir.BlockAffine: _block_affine,
    ir.Quantized: _quantized,
    ir.AffineElementwise: lambda step, width, weights: (
        f"scaled(x, F, {weights.add(step.center, step.scale, step.shift)})"
    ),
    ir.Elementwise: lambda step, width, weights: f"x.map({step.function})",
    ir.Normalized: lambda step, width, weights: f"normalized(x, {step.epsilon!r})",
    ir.Softmax: lambda step, width, weights: "softmax(x)",
    ir.InOrder: lambda step, width, weights: f"inOrder(x, {step.block})",
    ir.Columns: lambda step, width, weights: f"picked(x, {step.width}, F, {weights.add(step.columns)})",
    ir.Rows: lambda step, width, weights: (
        f"lookedUp(x, {step.E.shape[1]}, F, {weights.add(step.starts, step.lasts, step.E)})"
    ),
}
"""From a type of step to the expression of its output for a row x of that width."""


def _functions(program: ir.Program) -> list[str]:
    """Return the definitions of the program's elementwise functions."""
    steps = [step for member in program.members for step in ir.flattened(member)]
    names = sorted({step.function for step in steps if isinstance(step, ir.Elementwise)})
    terms = ir.functions_of(_LARGEST_EXPONENT)
    return [f"/** @param {{number}} z */\n{JAVASCRIPT.define(name, terms[name]).rstrip()}" for name in names]


def _infer_functions(program: ir.Program, name: str, weights: _Weights, exponential: bool) -> list[str]:
    """Return the functions of the members, and the one from an encoded row to their sum, clipped, its exponential."""
    names = [f"{name}{k}" for k in range(len(program.members))]
    members = [_member(program, steps, of, weights) for of, steps in zip(names, program.members)]
    summands = "\n  ".join(f"const Y{k} = {of}(x, F, B);" for k, of in enumerate(names))
    terms = " + ".join(f"Y{k}[j]" for k in range(len(names)))
    lines = [f"const Y = Y0.map((_, j) => {terms});"]
    if program.single_bounds is not None:
        lower, upper = (_quoted(_short(bound)) for bound in program.single_bounds)
        lines.append(f"const lower = {lower}, upper = {upper};")
        lines.append("Y.forEach((y, j) => (Y[j] = Math.max(lower[j], Math.min(upper[j], y))));")
    lines.append("return Y.map(Math.exp);" if exponential else "return Y;")
    body = "\n  ".join(lines)
    function = f"""\
/** @param {{Float64Array}} x */
function {name}(x) {{
  const {{ F, B }} = model();
  {summands}
  {body}
}}"""
    return [*members, function]


def _interval_functions(intervals: Intervals, weights: _Weights) -> list[str]:
    """Return the function `sums`, and the one from a row's sums to the value of number j at a level."""
    k, q = intervals.places.shape[1], intervals.n_quantiles
    places, contrast, limits = map(weights.add, (intervals.places, intervals.contrast, intervals.limits))
    value = f"Y[{1 + q} * j] + place"
    if q:
        quantiles = f"Y.subarray({1 + q} * j + 1, {1 + q} * (j + 1))"
        value = f"contrasted({quantiles}, place, F[{contrast} + j], F[{contrast + k} + j])"
    value = f"Math.exp({value})" if intervals.program.exponential else value
    function = f"""\
/** @param {{Float64Array}} Y @param {{number}} level @param {{number}} j */
function valueAt(Y, level, j) {{
  const {{ F }} = model(), place = calibrated(level, {places}, {k}, j);
  return Math.max(F[{limits} + j], Math.min(F[{limits + k} + j], {value}));
}}"""
    return [*_infer_functions(intervals.program, "sums", weights, exponential=False), function]


def _explain_functions(model: ir.Model, weights: _Weights) -> list[str]:
    """Return the constants and the function from a mean prediction to what is explained, for `explain`."""
    if not isinstance(model, Predictor) or model.background is None:
        raise ValueError("contributions must be requested of a Predictor with background rows, got a model without any")
    columns = model.encoder.columns
    orders = orders_of(len(columns))
    constants = {
        "BACKGROUND": weights.add(model.background),
        "N_BACKGROUND": len(model.background),
        "PLACES": np.repeat(np.arange(len(columns)), [column.n_features for column in columns]).tolist(),
        "EXPLAINED": explained_outputs(model.target),
    }
    coalitions = "everyCoalition(d, value)" if orders is None else f"orders({orders.tolist()}, value)"
    unit = "logOdds(mean)" if isinstance(model.target, ClassTarget) else "mean"
    functions = f"""\
/** @param {{number}} d @param {{(inside: number[]) => Float64Array}} value */
function shapley(d, value) {{
  return {coalitions};
}}

/** @param {{Float64Array}} mean */
function inUnit(mean) {{
  return {unit};
}}"""
    return ["\n".join(f"const {name} = {_quoted(value)};" for name, value in constants.items()), functions]


def _set_function(sets: Array, weights: _Weights) -> str:
    """Return the function from a level to the largest 1 - P in a set: of all rows, or of those of a class."""
    return f"""\
/** @param {{number}} level @param {{number}} [label] */
function setLimit(level, label) {{
  return calibrated(level, {weights.add(sets)}, {sets.shape[1]}, label === undefined ? 0 : 1 + label);
}}"""


def _answer_function(program: ir.Program) -> str:
    """Return the function from a prediction to what a caller of `predict` wants."""
    if program.labels is not None:
        value = "/** @type {any} */ (schema.labels[largest(Y)])"
    else:
        value = "Array.from(Y)" if program.columns is None or program.n_out > 1 else "Y[0]"
    return f"/** @param {{Float64Array}} Y @returns {{Answer}} */\nfunction answer(Y) {{\n  return {value};\n}}"


def _model_function(program: ir.Program, weights: _Weights) -> str:
    """Return the function that decodes the weights and builds the readers when they are needed first."""
    readers = ",\n    ".join(map(_reader, program.inputs))
    eight_bit = "Int8Array.from(bytes(WEIGHTS_8_BIT))" if weights.integers else "new Int8Array()"
    return f"""\
/** @type {{{{ F: Float32Array, B: Int8Array, readers: Reader[] }} | undefined}} */
let loaded;
function model() {{
  return (loaded ??= {{ F: floats(WEIGHTS), B: {eight_bit}, readers: [
    {readers}
  ] }});
}}"""


def _helpers_for(text: str, public: Sequence[str]) -> str:
    """Return the public functions of `helpers.js` and those that the text and they use, in the order of the file."""
    source = (files("chainrule.export") / "helpers.js").read_text("utf-8").strip()
    blocks = {block[4 : block.index(":")]: block for block in re.split(r"\n\n(?=/\*\* \w+: )", source)}
    code = {name: _COMMENT.sub("", block) for name, block in blocks.items()}
    wanted, found = set(public), text + "".join(code[name] for name in public)
    while new := {name for name in blocks if name not in wanted and re.search(rf"\b{name}\b", found)}:
        wanted |= new
        found = "".join(code[name] for name in new)
    return "\n\n".join(_shortened(block) for name, block in blocks.items() if name in wanted)


_COMMENT = re.compile(r"/\*\*.*?\*/ ?", re.S)
"""A comment; texts contain none, because their */ is escaped."""


def _shortened(block: str) -> str:
    """Return a helper without its description, unless it is public: what is left are types."""
    comment, code = block.split("*/", 1)
    description, at, types = comment.partition(": ")[2].partition("@")
    types = at + types
    if code.startswith("\nexport "):
        return f"/** {description[0].upper()}{description[1:]}{types}*/{code}"
    return f"/** {types}*/{code}" if types else code.lstrip()
