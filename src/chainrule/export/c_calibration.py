"""Prediction intervals and prediction sets in C, which a program compiles only if it defines a macro."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.arrays import Array
from chainrule.export.calibration import Intervals


@dataclass(frozen=True)
class Option:
    """A function that is declared and defined only where a macro is, with the parts that it consists of."""

    macro: str
    comment: Sequence[str]
    declaration: str
    parts: Sequence[str]

    @property
    def declared(self) -> str:
        return self._guarded([f"{self.declaration};"])

    @property
    def defined(self) -> str:
        return self._guarded(self.parts)

    def _guarded(self, parts: Sequence[str]) -> str:
        return "\n\n".join([f"#ifdef @@_{self.macro}", *parts, "#endif"])


INTERVAL = "int @_interval(const @@_REAL *x, float coverage, float *low, float *high)"
SET = "int @_set(const @@_REAL *x, float coverage, unsigned char *contained)"
SET_BY_CLASS = SET.replace("@_set", "@_set_by_class")

INTERVAL_COMMENT = [
    "ends    with @@_INTERVALS defined wherever the header is included:  float low[@@_N_OUT], high[@@_N_OUT];",
    "        status = @_interval(x, 0.9f, low, high); the interval contains 90 % of new numbers",
]
SET_COMMENT = [
    "set     with @@_SETS defined wherever the header is included:  unsigned char contained[@@_N_OUT];",
    "        status = @_set(x, 0.9f, contained); the classes with 1 are the plausible ones, among which 90 % of",
    "        new rows have theirs; with @_set_by_class, 90 % of the rows of each class",
]

THOUSANDTH = """\
/* The level in thousandths, rounded outwards, but not for the rounding of floats. */
static inline int @_thousandth(float level)
{
    return (int)(level < 0.5f ? floorf(1000.0f * level + 1e-3f) : ceilf(1000.0f * level - 1e-3f));
}"""
_CONTRASTED = """\
/* The value at a place among q increasing quantiles, its distance from the median times a power of their spread. Beyond
   the ends, places are in distances of the end from the median. */
static inline float @_contrasted(const float *v, int q, float place, float power, float typical)
{
    const float middle = v[q / 2], spread = (v[q - 1 - q / 4] - v[q / 4]) / typical;
    const int k = place <= 0.0f ? 0 : place >= (float)(q - 1) ? q - 2 : (int)place;
    float value = v[k] + (place - (float)k) * (v[k + 1] - v[k]);
    if (place < 0.0f) value = v[0] + place * (middle - v[0]);
    if (place > (float)(q - 1)) value = v[q - 1] + (place - (float)(q - 1)) * (v[q - 1] - middle);
    return middle + (value - middle) * fmaxf(powf(fmaxf(spread, 1.1920929e-7f), power), 1e-37f);
}

"""


def value_function(intervals: Intervals) -> str:
    """Return the function from the sums of number j, [mean, quantiles], to its value at a level in thousandths."""
    q = intervals.n_quantiles
    value = "sums[0] + place"
    if q:
        value = f"@_contrasted(sums + 1, {q}, place, @_powers[j], @_typical[j])"
    value = f"expf({value})" if intervals.program.exponential else value
    return f"""\
{_CONTRASTED if q else ""}static inline float @_value(const float *sums, int j, int k)
{{
    const float place = k < 1 ? -INFINITY : k > 999 ? INFINITY : @_places[(k - 1) * @@_N_OUT + j];
    return fmaxf(@_least[j], fminf(@_most[j], {value}));
}}"""


def interval_function(intervals: Intervals, encoded: bool, members: Sequence[str], clipped: bool) -> str:
    """Return `NAME_interval`, which adds up what the functions `members` predict for the row, encoded or raw."""
    width = 1 + intervals.n_quantiles
    lines = [
        f"float sums[{width} * @@_N_OUT] = {{0.0f}};",
        *([f"float X[{intervals.program.n_in}];"] if encoded else []),
        "int j, status = coverage > 0.0f && coverage < 1.0f ? @_check(x) : @@_NOT_A_COVERAGE;",
        "for (j = 0; j < @@_N_OUT; j++) low[j] = high[j] = NAN;",
        "if (status) return status;",
        *(["@_encode(x, X);"] if encoded else []),
        *(f"{member}({'X' if encoded else 'x'}, sums);" for member in members),
        f"for (j = 0; j < {width} * @@_N_OUT; j++) if (!isfinite(sums[j])) return @@_NOT_FINITE;",
        *(["for (j = 0; j < @@_N_OUT; j++) sums[j] = fmaxf(@_lower[j], fminf(@_upper[j], sums[j]));"] * clipped),
        "for (j = 0; j < @@_N_OUT; j++) {",
        f"    low[j] = @_value(sums + {width} * j, j, @_thousandth((1.0f - coverage) / 2.0f));",
        f"    high[j] = @_value(sums + {width} * j, j, @_thousandth((1.0f + coverage) / 2.0f));",
        "}",
        "return @@_OK;",
    ]
    return _function(INTERVAL, lines)


def interval_arrays(intervals: Intervals) -> dict[str, Array]:
    """Return the arrays that these functions read, by name."""
    powers, typical = intervals.contrast
    least, most = intervals.limits
    contrast = {"powers": powers, "typical": typical} if intervals.n_quantiles else {}
    return {"places": intervals.places, **contrast, "least": least, "most": most}


def set_functions() -> str:
    """Return `NAME_set` and `NAME_set_by_class`, which read the largest 1 - P in a set: of all rows, or of a class."""
    limits = {SET: "@_set_limits[k - 1]", SET_BY_CLASS: "@_class_limits[(k - 1) * @@_N_OUT + j]"}
    return "\n\n".join(_set_function(declaration, limit) for declaration, limit in limits.items())


def _set_function(declaration: str, limit: str) -> str:
    lines = [
        "float P[@@_N_OUT];",
        "int j, k, status = coverage > 0.0f && coverage < 1.0f ? @_predict(x, P) : @@_NOT_A_COVERAGE;",
        "for (j = 0; j < @@_N_OUT; j++) contained[j] = 0;",
        "if (status) return status;",
        "k = @_thousandth(coverage);",
        f"for (j = 0; j < @@_N_OUT; j++) contained[j] = k > 999 || (k > 0 && 1.0f - P[j] <= {limit});",
        "contained[@_class(P)] = 1;",
        "return @@_OK;",
    ]
    return _function(declaration, lines)


def _function(declaration: str, lines: Sequence[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"{declaration}\n{{\n{body}\n}}"
