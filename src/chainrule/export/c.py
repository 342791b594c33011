"""C99: a model as one header file that requires only math.h and allocates no memory.

`NAME_predict(x, out)` fills `out` with probabilities or numbers and returns a status; NAME is the file's stem. As in
other single-file libraries, the program defines NAME_IMPLEMENTATION in one of its source files, so that the weights
exist once. Compiled with the macro NAME_SELF_TEST defined, the header is a program that predicts its golden rows and
compares the results. For a predictor, `x` is a raw row: numbers unchanged, NaN where missing, dates as days since
1970-01-01 in UTC, and each category as its index, which `NAME_category_K(text)` returns for column K.

In the templates here, in `c_columns` and in `c_names`, @ stands for NAME and @@ for NAME in upper case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.export import c_calibration
from chainrule.export import steps as ir
from chainrule.export.c_columns import check, encoder, lookup_functions, raw_rows, required_helpers
from chainrule.export.c_names import enumerations, opening
from chainrule.export.calibration import Intervals
from chainrule.export.golden import TOLERANCE, Golden, SinglePrecision, in_single_precision
from chainrule.export.writing import Export, stem_of
from chainrule.files.archive import Path
from chainrule.languages import C


def to_c(model: ir.Model, path: Path, int8: bool = False, rows: object = None) -> Export:
    """Write a model as a C99 header.

    Parameters
    ----------
    model : Predictor, Ensemble or Network
        An ensemble or a network takes its own columns, a predictor raw cells.
    path : str or Path
        The file's stem is the prefix of all names in it.
    int8 : bool
        Store weights as 8-bit integers with one scale per output column, in a quarter of the bytes. The quantization
        error is returned as `loss`; the self-test compares with the quantized predictions.
    rows : table or (n, n_in), optional
        Measure the quantization error on these rows. Default: on the golden rows.

    Raises
    ------
    ValueError
        If the model contains a custom layer, activation or Loss class. Nothing is written.
    """
    single = in_single_precision(model, int8, rows)
    text = _header(single, os.path.basename(os.fspath(path)), stem_of(path))
    return single.write(path, text)


def _header(single: SinglePrecision, file: str, name: str) -> str:
    """Return the header: what users see, and the implementation."""
    program = single.program
    stored: dict[str, str] = {}
    members = [_Member(program, steps, f"@_member_{k}", stored) for k, steps in enumerate(program.members)]
    options = [] if single.intervals is None else [_interval_option(single.intervals, stored)]
    options += [] if single.set_limits is None else [_set_option(single.set_limits)]
    functions = {"int @_predict(const @@_REAL *x, float *out)": _predict_body(program)} | lookup_functions(program)
    stack = _stack(program, members)
    public = [
        _macros(program),
        *enumerations(program),
        "\n".join(f"{declaration};" for declaration in functions),
        *(option.declared for option in options),
    ]
    private = [
        *_helpers(program, members),
        *([] if program.columns is None or _takes_raw_cells(program) else [encoder(program.columns)]),
        check(program.inputs),
        *(part for member in members for part in (*member.arrays, member.function())),
        *_bounds(program),
        *(f"{declaration}\n{{\n{body}\n}}" for declaration, body in functions.items()),
        *(option.defined for option in options),
        _self_test(program, single.golden),
    ]
    comment = [line for option in options for line in option.comment]
    parts = [opening(program, file, single.notes, comment, stack), _TOP, *public, _MIDDLE, *private, _BOTTOM]
    return "\n\n".join(parts).replace("@@", name.upper()).replace("@", name)


_TOP = """\
#ifndef @@_H
#define @@_H

#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif"""
_MIDDLE = """\
#ifdef __cplusplus
}
#endif

#endif

#if (defined(@@_IMPLEMENTATION) || defined(@@_SELF_TEST)) && !defined(@@_IMPLEMENTED)
#define @@_IMPLEMENTED

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "-ffast-math breaks NAN, which stands for a missing value"
#endif

/* Where the weights are placed: redefine it for a section or another memory. */
#ifndef @@_WEIGHTS
#define @@_WEIGHTS static const
#endif

#ifdef __cplusplus
extern "C" {
#endif"""
_BOTTOM = """\
#ifdef __cplusplus
}
#endif

#endif
"""
_LARGEST_EXPONENT = 87.7
"""Close to the largest number whose exponential is a finite float."""


def _takes_raw_cells(program: ir.Program) -> bool:
    """Return whether the networks take the cells as they are."""
    return all(column.source == "X" for column in program.inputs)


def _stack(program: ir.Program, members: Sequence[_Member]) -> int:
    """Return the bytes of the arrays on the stack that the members need, one after the other, and the encoded row."""
    return max(member.stack for member in members) + (0 if _takes_raw_cells(program) else 4 * program.n_in)


def _macros(program: ir.Program) -> str:
    """Return the sizes, the statuses and the type of a cell.

    That is double if cells have to be scaled first, which may need more digits than a float.
    """
    c_type, hint = "double", "float spares a processor without doubles most of the time; run the self-test with it"
    if _takes_raw_cells(program):
        c_type, hint = "float", "float or double"
    return f"""\
/* The type of a cell: {hint}. */
#ifndef @@_REAL
#define @@_REAL {c_type}
#endif
#define @@_R(number) ((@@_REAL)(number))

#define @@_N_IN {len(program.inputs)}
#define @@_N_OUT {program.n_out}
#define @@_OK 0
#define @@_NOT_FINITE (-1)
#define @@_NOT_A_COVERAGE (-2)"""


def _helpers(program: ir.Program, members: Sequence[_Member]) -> list[str]:
    """Return the functions that columns and networks call."""
    names = {name for member in members for name in member.helpers}
    names = names.union(*map(required_helpers, program.columns or ()))
    terms = ir.functions_of(_LARGEST_EXPONENT)
    functions = {name: C.define(f"@_f_{name}", term).rstrip() for name, term in terms.items()}
    texts = _read_helpers()
    # An activation may have the name of a function of cells, such as cos.
    return [texts[name] for name in texts if name in names] + [
        functions[name[2:]] for name in sorted(names) if name[:2] == "f:"
    ]


# Literals.


def _float_array(name: str, values: Array) -> str:
    """Return an array of floats as C source, each value in the shortest form that round-trips."""
    return _array("@@_WEIGHTS float", name, _literals(values.astype(np.float32)))


def _literals(values: Array) -> list[str]:
    suffix = "f" if values.dtype == np.float32 else ""
    return [_NOT_FINITE.get(text, f"{text}{suffix}") for text in values.ravel().astype("U").tolist()]


_NOT_FINITE = {"nan": "NAN", "inf": "INFINITY", "-inf": "-INFINITY"}


def _array(c_type: str, name: str, literals: Sequence[str], per_line: int = 8) -> str:
    rows = [", ".join(literals[i : i + per_line]) for i in range(0, len(literals), per_line)]
    return f"{c_type} {name}[{len(literals)}] = {{\n    " + ",\n    ".join(rows) + "};"


# A network.


class _Member:
    """One network as a C function that adds its term to `out`, with its constant `arrays` and the `helpers` it calls.

    The row alternates between two buffers: a step that changes the width reads `self.source` and writes `self.target`.
    An array that another member has `stored` is read there.
    """

    def __init__(self, program: ir.Program, steps: Sequence[ir.Step], name: str, stored: dict[str, str]) -> None:
        self.name, self.n_in, self.n_out = name, program.n_in, program.n_out
        self.stored = stored
        self.c_type = "@@_REAL" if _takes_raw_cells(program) else "float"
        self.arrays: list[str] = []
        self.helpers: set[str] = set()
        self.lines: list[str] = []
        self.saved_widths: list[int] = []
        self.source, self.target, self.needs_target = "a", "b", False
        self.max_width = max(self.n_in, *(step.width for step in ir.flattened(steps)))
        self.width = self.n_in
        self.add(steps)

    def add(self, steps: Sequence[ir.Step]) -> None:
        for step in steps:
            _STEPS[type(step)](self, step)
            self.width = step.width

    def float_array(self, values: Array) -> str:
        return self.array("float", _literals(values.astype(np.float32)))

    def int_array(self, values: Array) -> str:
        return self.array("int", list(map(str, values.tolist())), 25)

    def int8_array(self, values: Array) -> str:
        return self.array("signed char", list(map(str, values.ravel().tolist())), 25)

    def array(self, c_type: str, literals: Sequence[str], per_line: int = 8) -> str:
        """Return the name of a constant array, which is a new one unless an equal one is stored."""
        content = _array(c_type, "", literals)
        if content not in self.stored:
            self.stored[content] = f"{self.name}_{len(self.arrays)}"
            self.arrays.append(_array(f"@@_WEIGHTS {c_type}", self.stored[content], literals, per_line))
        return self.stored[content]

    def call(self, helper: str, *arguments: object) -> None:
        self.helpers.add(helper)
        self.lines.append(f"@_{helper}({', '.join(map(str, arguments))});")

    def loop(self, width: int, statement: str) -> None:
        """Append a loop that runs a statement for each value of a row."""
        self.lines.append(f"for (i = 0; i < {width}; i++) {statement};")

    def save(self) -> str:
        """Copy the row into an array of its own and return its name."""
        name = f"saved_{len(self.saved_widths)}"
        self.saved_widths.append(self.width)
        self.loop(self.width, f"{name}[i] = {self.source}[i]")
        return name

    def swap(self) -> None:
        """Swap the buffers, so that the next step reads what this one has written."""
        self.source, self.target, self.needs_target = self.target, self.source, True

    @property
    def stack(self) -> int:
        """Bytes of the function's arrays."""
        return 4 * ((1 + self.needs_target) * self.max_width + sum(self.saved_widths))

    def function(self) -> str:
        saved = "".join(f", saved_{i}[{width}]" for i, width in enumerate(self.saved_widths))
        second = f", b[{self.max_width}]" if self.needs_target else ""
        lines = [
            f"float a[{self.max_width}]{second}{saved};",
            "int i;",
            f"for (i = 0; i < {self.n_in}; i++) a[i] = (float)x[i];",
            *self.lines,
            f"for (i = 0; i < {self.n_out}; i++) out[i] += {self.source}[i];",
        ]
        body = "\n    ".join(lines)
        return f"static inline void {self.name}(const {self.c_type} *x, float *out)\n{{\n    {body}\n}}"


def _write_affine(member: _Member, step: ir.Affine) -> None:
    W, b = member.float_array(step.W), member.float_array(step.b)
    member.call("affine", member.source, W, b, member.width, step.width, member.target)
    member.swap()


def _write_quantized(member: _Member, step: ir.Quantized) -> None:
    W, scale, b = member.int8_array(step.W), member.float_array(step.scale), member.float_array(step.b)
    member.call("quantized", member.source, W, scale, b, member.width, step.width, member.target)
    member.swap()


def _write_affine_elementwise(member: _Member, step: ir.AffineElementwise) -> None:
    center, scale, shift = (member.float_array(values) for values in (step.center, step.scale, step.shift))
    x = f"{member.source}[i]"
    member.loop(step.width, f"{x} = ({x} - {center}[i]) * {scale}[i] + {shift}[i]")


def _write_elementwise(member: _Member, step: ir.Elementwise) -> None:
    member.helpers.add(f"f:{step.function}")
    x = f"{member.source}[i]"
    member.loop(step.width, f"{x} = @_f_{step.function}({x})")


def _write_residual_block(member: _Member, step: ir.ResidualBlock) -> None:
    """Write x + steps(x), with a copy of x in an array of its own."""
    saved = member.save()
    member.add(step.steps)
    member.loop(step.width, f"{member.source}[i] += {saved}[i]")


def _write_appended(member: _Member, step: ir.Appended) -> None:
    """Write [x, steps(x)]."""
    n = member.width
    saved = member.save()
    member.add(step.steps)
    member.loop(n, f"{member.target}[i] = {saved}[i]")
    member.loop(step.width - n, f"{member.target}[{n} + i] = {member.source}[i]")
    member.swap()


def _write_columns(member: _Member, step: ir.Columns) -> None:
    columns = member.int_array(step.columns)
    member.loop(step.width, f"{member.target}[i] = {member.source}[{columns}[i]]")
    member.swap()


def _write_block_affine(member: _Member, step: ir.BlockAffine) -> None:
    m, k, n_out = step.W.shape
    W, b = member.float_array(step.W), member.float_array(step.b)
    x, y = f"{member.source} + i * {k}", f"{member.target} + i * {n_out}"
    member.helpers.add("affine")
    member.loop(m, f"@_affine({x}, {W} + i * {k * n_out}, {b} + i * {n_out}, {k}, {n_out}, {y})")
    member.swap()


def _write_rows(member: _Member, step: ir.Rows) -> None:
    E, starts, lasts = member.float_array(step.E), member.int_array(step.starts), member.int_array(step.lasts)
    n_out = step.E.shape[1]
    j, x = f"i / {n_out}", f"{member.source}[i / {n_out}]"
    k = f"(int)fminf(fmaxf({x}, 0.0f), (float){lasts}[{j}])"
    member.loop(step.width, f"{member.target}[i] = {E}[({starts}[{j}] + {k}) * {n_out} + i % {n_out}]")
    member.swap()


_STEPS: dict[type[ir.Step], Callable[[_Member, Any], None]] = {
    ir.Affine: _write_affine,
    ir.Quantized: _write_quantized,
    ir.AffineElementwise: _write_affine_elementwise,
    ir.Elementwise: _write_elementwise,
    ir.Normalized: lambda member, step: member.call("normalize", member.source, step.width, f"{step.epsilon!r}f"),
    ir.Softmax: lambda member, step: member.call("softmax", member.source, step.width),
    ir.InOrder: lambda member, step: member.call("in_order", member.source, step.width, step.block),
    ir.ResidualBlock: _write_residual_block,
    ir.Appended: _write_appended,
    ir.Columns: _write_columns,
    ir.BlockAffine: _write_block_affine,
    ir.Rows: _write_rows,
}


def _read_helpers() -> dict[str, str]:
    """Return the functions of `helpers.h`, keyed by the first word of the comment above each."""
    text = (files("chainrule.export") / "helpers.h").read_text("utf-8").strip()
    text = re.sub(r"NAME_(?=REAL|R\()", "@@_", text).replace("NAME_", "@_")
    return {block[3 : block.index(":")]: block for block in re.split(r"\n\n(?=/\* \w+: )", text)}


# The public function and the self-test.


def _predict_body(program: ir.Program) -> str:
    """Return the body of `NAME_predict`: check and encode a row, add up the members, clip the sum, exponentiate it."""
    raw = _takes_raw_cells(program)
    X = "x" if raw else "X"
    fill = "for (j = 0; j < @@_N_OUT; j++) out[j]"
    lines = [
        *([] if raw else [f"float X[{program.n_in}];"]),
        "int j, status = @_check(x);",
        f"{fill} = status ? NAN : 0.0f;",
        "if (status) return status;",
        *([] if raw else ["@_encode(x, X);"]),
        *(f"@_member_{k}({X}, out);" for k in range(len(program.members))),
    ]
    if program.single_bounds is not None:
        lines.append(f"{fill} = out[j] < @_lower[j] ? @_lower[j] : out[j] > @_upper[j] ? @_upper[j] : out[j];")
    if program.exponential:
        lines.append(f"{fill} = expf(out[j]);")
    lines += [
        "for (j = 0; j < @@_N_OUT; j++) if (!isfinite(out[j])) status = @@_NOT_FINITE;",
        f"if (status) {fill} = NAN;",
        "return status;",
    ]
    return "\n".join(f"    {line}" for line in lines)


def _bounds(program: ir.Program) -> list[str]:
    if program.single_bounds is None:
        return []
    return [_float_array(f"@_{name}", bound) for name, bound in zip(("lower", "upper"), program.single_bounds)]


def _interval_option(intervals: Intervals, stored: dict[str, str]) -> c_calibration.Option:
    """Return `NAME_interval`, with last layers that predict quantiles."""
    program = intervals.program
    members = [_Member(program, steps, f"@_quantiles_{k}", stored) for k, steps in enumerate(program.members)]
    names, encoded = [member.name for member in members], not _takes_raw_cells(program)
    parts = [
        *([_read_helpers()["in_order"]] if intervals.n_quantiles else []),
        c_calibration.THOUSANDTH,
        *(part for member in members for part in (*member.arrays, member.function())),
        *(_float_array(f"@_{name}", array) for name, array in c_calibration.interval_arrays(intervals).items()),
        c_calibration.value_function(intervals),
        c_calibration.interval_function(intervals, encoded, names, program.single_bounds is not None),
    ]
    stack = f"        it has arrays of {_stack(program, members) + 4 * program.n_out:,} bytes on the stack"
    comment = [*c_calibration.INTERVAL_COMMENT, stack, ""]
    return c_calibration.Option("INTERVALS", comment, c_calibration.INTERVAL, parts)


def _set_option(limits: Array) -> c_calibration.Option:
    """Return `NAME_set` and `NAME_set_by_class`."""
    arrays = [_float_array("@_set_limits", limits[:, 0]), _float_array("@_class_limits", limits[:, 1:])]
    parts = [c_calibration.THOUSANDTH, *arrays, c_calibration.set_functions()]
    declarations = f"{c_calibration.SET};\n{c_calibration.SET_BY_CLASS}"
    return c_calibration.Option("SETS", [*c_calibration.SET_COMMENT, ""], declarations, parts)


def _self_test(program: ir.Program, golden: Golden) -> str:
    """Return the self-test program, guarded by its macro."""
    rows = golden.X if program.columns is None else raw_rows(program.columns, golden.rows)
    if _takes_raw_cells(program):
        literals = _literals(rows.astype(np.float32))
    else:
        literals = [text if text == "NAN" else f"@@_R({text})" for text in _literals(rows.astype(np.float64))]
    parts = [
        "#ifdef @@_SELF_TEST\n#include <stdio.h>",
        _array("static const @@_REAL", "@_golden_rows", literals),
        _array("static const float", "@_golden_predictions", _literals(golden.predictions.astype(np.float32))),
        _array("static const float", "@_golden_units", _literals(golden.units.astype(np.float32))),
        _SELF_TEST.replace("ROWS", str(len(rows))).replace("TOLERANCE", repr(TOLERANCE)),
        "#endif",
    ]
    return "\n\n".join(parts)


_SELF_TEST = """\
int main(void)
{
    float out[@@_N_OUT], largest = 0.0f;
    int i, j, wrong = 0;
    for (i = 0; i < ROWS; i++) {
        if (@_predict(@_golden_rows + i * @@_N_IN, out) != @@_OK) wrong++;
        for (j = 0; j < @@_N_OUT; j++) {
            const float difference = fabsf(out[j] - @_golden_predictions[i * @@_N_OUT + j]) / @_golden_units[j];
            if (difference > largest) largest = difference;
            if (!(difference <= TOLERANCEf)) wrong++;
        }
    }
    printf("ROWS golden rows: largest difference %.1e, %d wrong predictions\\n", (double)largest, wrong);
    return wrong ? 1 : 0;
}"""
