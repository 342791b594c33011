"""C99: a model as one header, which needs math.h and nothing else and allocates no memory.

`NAME_predict(x, out)` fills `out` with probabilities or numbers; NAME is the file's own name. With the macro
NAME_SELF_TEST defined, the header is a program that answers the golden rows in it. For a predictor `x` is a raw row,
of doubles: numbers as they are, NaN where missing, a date as the days since 1970 began, in UTC, and a category as the
position of its level, which `NAME_level_K` finds for column K.

In the texts here, and in those of `c_columns`, @ stands for NAME and @@ for NAME in capitals.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np

import chainrule
from chainrule.archive import Path
from chainrule.arrays import Array
from chainrule.data.columns import RawColumn
from chainrule.export.c_columns import HINTS, NEEDED, encoder, names, raw_rows
from chainrule.export.golden import TOLERANCE, Golden, golden_of
from chainrule.export.steps import (
    Affine,
    Around,
    Elementwise,
    Model,
    Normalised,
    Program,
    Quantised,
    Scaled,
    Softmax,
    Step,
    fold,
    infer,
    program_of,
    quantise,
)
from chainrule.export.writing import Export, stem_of, write


def to_c(model: Model, path: Path, int8: bool = False) -> Export:
    """Write a model as a C99 header.

    Parameters
    ----------
    model : Predictor, Ensemble or Network
        A network takes its own columns, a predictor raw cells.
    path : str or Path
        The file's name becomes the prefix of every name in it.
    int8 : bool
        Weights as whole numbers of -127 to 127 with one scale an output column: a quarter of the bytes. What that costs
        on the golden rows is returned as `loss`; the header tests itself by the rounded weights' answers.

    Raises
    ------
    ValueError
        When the model holds a layer, activation or Loss class of the user's own; nothing is written.
    """
    program, golden = program_of(model), golden_of(model)
    program = replace(program, members=tuple(map(fold, program.members)))
    loss = None
    if int8:
        program = replace(program, members=tuple(map(quantise, program.members)))
        rounded = infer(program, golden.X).astype(np.float64)
        loss = golden.difference(rounded)
        golden = replace(golden, predictions=rounded)
    difference = golden.require_close(golden.difference(infer(program, golden.X)))
    text = header(program, golden, path, loss)
    return write(path, text.encode(), len(golden.X), difference, loss)


def header(program: Program, golden: Golden, path: Path, loss: float | None) -> str:
    """Return the header's text."""
    members = [Member(program, steps, k) for k, steps in enumerate(program.members)]
    columns = program.columns or ()
    helpers = {helper for member in members for helper in member.helpers}
    helpers |= {helper for column in columns for helper in NEEDED[type(column)]}
    parts = [
        about(program, os.path.basename(os.fspath(path)), loss),
        *(text for helper, text in read_helpers().items() if helper in helpers),
        *names(program),
        *([encoder(columns, cell_of(program))] if columns else []),
        *(part for member in members for part in (*member.arrays, member.function())),
        predict(program),
        self_test(program, golden),
    ]
    name = stem_of(path)
    text = TOP + "\n\n".join(parts) + BOTTOM
    return text.replace("@@", name.upper()).replace("@", name)


TOP = "#ifndef @@_H\n#define @@_H\n\n"
BOTTOM = "\n\n#endif\n"


def about(program: Program, file: str, loss: float | None) -> str:
    """Return what stands at the top: how it is used, what goes in and what comes out."""
    shown = file if re.fullmatch(r"[\w.-]+", file) else "FILE"
    n_columns = program.n_in if program.columns is None else len(program.columns)
    taken = "the network's own columns" if program.columns is None else "@_column(0), ...: numbers, NAN where missing"
    given = "numbers" if program.labels is None else "probabilities; @_label(@_class(out)) is the likeliest class"
    lines = [
        f"/* Written by chainrule {chainrule.__version__}. C99, math.h and nothing else, no memory allocated.",
        "",
        f"     {cell_of(program)} x[@@_N_IN]; float out[@@_N_OUT];",
        "     @_predict(x, out);",
        "",
        f"   x    {taken}",
        *(
            f"        x[{k}] = {HINTS[type(column)].format(k=k)}"
            for k, column in enumerate(program.columns or ())
            if type(column) in HINTS
        ),
        f"   out  {given}",
        "",
        f"   Self-test:  cc -std=c99 -D@@_SELF_TEST -x c {shown} -o @ -lm && ./@",
    ]
    if loss is not None:
        lines.append(f"   Weights in 8 bits: the greatest difference on the golden rows is {loss:.1e}.")
    defines = f"#include <math.h>\n\n#define @@_N_IN {n_columns}\n#define @@_N_OUT {program.n_out}"
    return "\n".join([*lines[:-1], f"{lines[-1]} */", "", defines])


# Numbers.


def cell_of(program: Program) -> str:
    """Return the type of a cell of a row: numbers that are yet to be scaled may need more digits than a float has."""
    return "float" if all(isinstance(column, RawColumn) for column in program.columns or ()) else "double"


def single_array(name: str, values: Array) -> str:
    """Return an array of floats, each the shortest text that reads as the same number."""
    return array("float", name, literals(values.astype(np.float32)))


def literals(values: Array) -> list[str]:
    """Return numbers as C writes those of their type."""
    ending = "f" if values.dtype == np.float32 else ""
    return ["NAN" if text == "nan" else f"{text}{ending}" for text in values.ravel().astype("U").tolist()]


def array(kind: str, name: str, texts: Sequence[str], a_line: int = 8) -> str:
    """Return an array of literals."""
    rows = [", ".join(texts[i : i + a_line]) for i in range(0, len(texts), a_line)]
    return f"static const {kind} {name}[{len(texts)}] = {{\n    " + ",\n    ".join(rows) + "};"


# A network.


class Member:
    """One network as a function that adds its share to `out`; its numbers are `arrays`, what it calls `helpers`.

    The row goes through two buffers in turn: a step that changes the width reads `self.here` and writes `self.there`.
    """

    def __init__(self, program: Program, steps: Sequence[Step], k: int) -> None:
        self.k, self.n_in, self.n_out = k, program.n_in, program.n_out
        self.arrays: list[str] = []
        self.helpers: set[str] = set()
        self.lines: list[str] = []
        self.kept: list[int] = []
        self.here, self.there, self.turns = "a", "b", 0
        self.widest = max(self.n_in, *(widths(steps)))
        self.width = self.n_in
        self.add(steps)

    def add(self, steps: Sequence[Step]) -> None:
        """Write the lines of these steps."""
        for step in steps:
            STEPS[type(step)](self, step)
            self.width = step.width

    def array(self, values: Array) -> str:
        """Keep an array of floats, and return its name."""
        name = f"@_{self.k}_{len(self.arrays)}"
        self.arrays.append(single_array(name, values))
        return name

    def whole_array(self, values: Array) -> str:
        """Keep an array of small whole numbers, and return its name."""
        name = f"@_{self.k}_{len(self.arrays)}"
        self.arrays.append(array("signed char", name, list(map(str, values.ravel().tolist())), 25))
        return name

    def call(self, helper: str, *arguments: object) -> None:
        """Write a line that calls a helper."""
        self.helpers.add(helper)
        self.lines.append(f"@_{helper}({', '.join(map(str, arguments))});")

    def each(self, width: int, statement: str) -> None:
        """Write a line that does a statement for each number of a row."""
        self.lines.append(f"for (i = 0; i < {width}; i++) {statement};")

    def turn(self) -> None:
        """Have the next step read what this one has written."""
        self.here, self.there, self.turns = self.there, self.here, self.turns + 1

    def function(self) -> str:
        """Return the function's text."""
        kept = "".join(f", kept_{i}[{width}]" for i, width in enumerate(self.kept))
        second = f", b[{self.widest}]" if self.turns else ""
        lines = [
            f"float a[{self.widest}]{second}{kept};",
            "int i;",
            f"for (i = 0; i < {self.n_in}; i++) a[i] = x[i];",
            *self.lines,
            f"for (i = 0; i < {self.n_out}; i++) out[i] += {self.here}[i];",
        ]
        body = "\n    ".join(lines)
        return f"static inline void @_member_{self.k}(const float *x, float *out)\n{{\n    {body}\n}}"


def widths(steps: Sequence[Step]) -> Iterator[int]:
    """Yield the width of every step, those inside others too."""
    for step in steps:
        yield step.width
        if isinstance(step, Around):
            yield from widths(step.steps)


def write_affine(member: Member, step: Affine) -> None:
    """Write y = x W + b."""
    W, b = member.array(step.W), member.array(step.b)
    member.call("affine", member.here, W, b, member.width, step.width, member.there)
    member.turn()


def write_quantised(member: Member, step: Quantised) -> None:
    """Write y = (x W) scale + b."""
    W, scale, b = member.whole_array(step.W), member.array(step.scale), member.array(step.b)
    member.call("quantised", member.here, W, scale, b, member.width, step.width, member.there)
    member.turn()


def write_scaled(member: Member, step: Scaled) -> None:
    """Write y = (x - centre) scale + shift."""
    centre, scale, shift = (member.array(values) for values in (step.centre, step.scale, step.shift))
    x = f"{member.here}[i]"
    member.each(step.width, f"{x} = ({x} - {centre}[i]) * {scale}[i] + {shift}[i]")


def write_elementwise(member: Member, step: Elementwise) -> None:
    """Write y = f(x)."""
    member.helpers.add(step.function)
    x = f"{member.here}[i]"
    member.each(step.width, f"{x} = @_{step.function}({x})")


def write_normalised(member: Member, step: Normalised) -> None:
    """Write the row normalised."""
    member.call("normalise", member.here, step.width, f"{step.epsilon!r}f")


def write_softmax(member: Member, step: Softmax) -> None:
    """Write the row's softmax."""
    member.call("softmax", member.here, step.width)


def write_around(member: Member, step: Around) -> None:
    """Write x + steps(x): x is kept in an array of its own."""
    kept = f"kept_{len(member.kept)}"
    member.kept.append(step.width)
    member.each(step.width, f"{kept}[i] = {member.here}[i]")
    member.add(step.steps)
    member.each(step.width, f"{member.here}[i] += {kept}[i]")


STEPS: dict[type[Step], Callable[[Member, Any], None]] = {
    Affine: write_affine,
    Quantised: write_quantised,
    Scaled: write_scaled,
    Elementwise: write_elementwise,
    Normalised: write_normalised,
    Softmax: write_softmax,
    Around: write_around,
}


def read_helpers() -> dict[str, str]:
    """Return the functions of `helpers.h` by the word that the comment above each begins with."""
    text = (files("chainrule.export") / "helpers.h").read_text("utf-8").strip().replace("NAME_", "@_")
    return {block[3 : block.index(":")]: block for block in re.split(r"\n\n(?=/\* \w+: )", text)}


# What a user calls, and the test.


def predict(program: Program) -> str:
    """Return the function that answers a row."""
    width = program.n_in
    encoded = [] if program.columns is None else [f"float X[{width}];"]
    encode = [] if program.columns is None else ["@_encode(x, X);"]
    X = "x" if program.columns is None else "X"
    lines = [
        *encoded,
        "int j;",
        *encode,
        "for (j = 0; j < @@_N_OUT; j++) out[j] = 0.0f;",
        *(f"@_member_{k}({X}, out);" for k in range(len(program.members))),
    ]
    arrays = []
    if program.single_bounds is not None:
        arrays = [single_array(f"@_{name}", bound) for name, bound in zip(("least", "most"), program.single_bounds)]
        lines.append("for (j = 0; j < @@_N_OUT; j++) out[j] = fmaxf(@_least[j], fminf(@_most[j], out[j]));")
    body = "\n    ".join(lines)
    function = f"static inline void @_predict(const {cell_of(program)} *x, float *out)\n{{\n    {body}\n}}"
    return "\n\n".join([*arrays, function])


def self_test(program: Program, golden: Golden) -> str:
    """Return the program that answers the golden rows, under its macro."""
    rows = golden.X if program.columns is None else raw_rows(program.columns, golden.rows)
    cell = cell_of(program)
    parts = [
        "#ifdef @@_SELF_TEST\n#include <stdio.h>",
        array(cell, "@_golden_rows", literals(rows.astype(np.float32 if cell == "float" else np.float64))),
        single_array("@_golden_answers", golden.predictions),
        single_array("@_golden_units", golden.units),
        SELF_TEST.replace("ROWS", str(len(rows))).replace("TOLERANCE", repr(TOLERANCE)),
        "#endif",
    ]
    return "\n\n".join(parts)


SELF_TEST = """\
int main(void)
{
    float out[@@_N_OUT], greatest = 0.0f;
    int i, j, wrong = 0;
    for (i = 0; i < ROWS; i++) {
        @_predict(@_golden_rows + i * @@_N_IN, out);
        for (j = 0; j < @@_N_OUT; j++) {
            const float apart = fabsf(out[j] - @_golden_answers[i * @@_N_OUT + j]) / @_golden_units[j];
            if (apart > greatest) greatest = apart;
            if (!(apart <= TOLERANCEf)) wrong++;
        }
    }
    printf("ROWS golden rows: the greatest difference is %.1e, %d answers are wrong\\n", greatest, wrong);
    return wrong ? 1 : 0;
}"""
