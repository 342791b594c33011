"""Hints: columns that look like groups or times of the rows, which a split should respect."""

import re
import shlex
from collections.abc import Mapping

import numpy as np

from chainrule.arrays import Array
from chainrule.data.cells import are_numbers, as_dates_only, factorize, missing_rows
from chainrule.data.formats import is_missing
from chainrule.data.recognition import as_ordered
from chainrule.errors import TableError

_ENTITIES = (
    "patient|subject|person|participant|respondent|customer|client|user|member|household|family|session|student|pupil|"
    "employee|worker|driver|player|device|machine|sensor|animal|donor|account|vehicle|site|store|shop|school|hospital|"
    "clinic|company|firm|batch|lot|group|cluster|uuid|guid"
)
_GROUP_NAME = rf"(^|.*[ _.-])(id|({_ENTITIES})s?)$|.*[a-z]I[dD]$|^({_ENTITIES})[ _.-]?(id|nr|no|num|number|code|key)$"
"""Names of columns that identify what rows belong to."""
_CODE = r"[A-Za-z]{0,8}[ _#-]?[0-9]{2,}[A-Za-z]{0,3}"
"""Text such as P017, cust-0042 or N14228UA: identifiers rather than categories."""
_MIN_GROUPS, _MIN_CODES, _MIN_GROUP_ROWS = 5, 20, 1.5
"""Least number of groups in a column whose name says so, or only whose text, and of rows per group on average."""
_AGE_GROUP = r"(age|income|blood|food|size|ethnic|risk|price|weight|product)[ _.-]?groups?$"
_BIRTH = r"birth|dob\b|born"
_TIME_NAME = (
    r"(^|[ _.-])(date|datetime|time|timestamp|day|week|month|year|period|epoch|ts|dt)(_?(id|index))?$|[a-z](Date|Time)$"
)
_MIN_TIMES = 10
"""Least number of different times."""


def group_like(columns: Mapping[str, Array]) -> list[str]:
    """Return the columns that look like groups: identifiers that repeat."""
    return [name for name, values in columns.items() if _looks_like_group(name.strip(), values)]


def _looks_like_group(name: str, values: Array) -> bool:
    """Return whether names or text identify what the rows belong to, and each identifies several rows on average."""
    says_so = bool(
        re.fullmatch(_GROUP_NAME, name, re.I if name.isupper() else 0) or re.fullmatch(_GROUP_NAME, name.lower())
    )
    says_so = says_so and not re.search(_AGE_GROUP, name.lower())
    if values.dtype.kind not in ("iuO" if says_so else "O") and not (says_so and values.dtype.kind == "f"):
        return False
    distinct = [value for value in factorize(name, values)[0] if not is_missing(value)]
    if values.dtype.kind == "f" and not all(float(value).is_integer() for value in distinct):
        return False
    if not _MIN_GROUPS <= len(distinct) <= len(values) / _MIN_GROUP_ROWS:
        return False
    are_codes = len(distinct) >= _MIN_CODES and all(re.fullmatch(_CODE, str(value)) for value in distinct)
    return says_so or (are_codes and not are_numbers(distinct) and as_dates_only(distinct) is None)


def time_like(columns: Mapping[str, Array]) -> list[str]:
    """Return the columns that look like times of the rows, those in whose order the rows are first.

    These are dates except of birth, and numbers that never fall from row to row if their name says so.
    """
    found = {
        name: order for name, values in columns.items() if (order := _time_order(name.strip(), values)) is not None
    }
    return sorted(found, key=lambda name: not found[name])


def _time_order(name: str, values: Array) -> bool | None:
    """Return whether the rows are in the order of a column; None if it does not look like a time."""
    if re.search(_BIRTH, name.lower()):
        return None
    try:
        times = as_ordered(name, values)
    except TableError:
        return None
    if times is None or (times.dtype.kind != "M" and not _says_time(name)):
        return None
    known = times[~missing_rows(name, times)]
    if len(np.unique(known)) < _MIN_TIMES:
        return None
    in_order = bool((known[1:] >= known[:-1]).all() or (known[1:] <= known[:-1]).all())
    return in_order if in_order or times.dtype.kind == "M" else None


def _says_time(name: str) -> bool:
    return any(re.search(_TIME_NAME, text) for text in (name, name.lower()))


def suggestions(columns: Mapping[str, Array], group_remedy: str | None, time_remedy: str | None) -> list[str]:
    """Return findings about a column that looks like groups, and one that looks like times, with what to pass.

    A remedy is a text such as "--group {name}"; None: groups or times are given already.
    """
    kinds = ((group_remedy, group_like, _GROUPS), (time_remedy, time_like, _TIMES))
    return [
        f"{text.format(name=name)}, train with {remedy.format(name=shlex.quote(name))}."
        for remedy, candidates, text in kinds
        if remedy is not None
        for name in candidates(columns)[:1]
    ]


_GROUPS = (
    "{name} looks like an identifier of groups of rows: scores and intervals hold for known groups only. "
    "If predictions will be for new ones"
)
_TIMES = (
    "{name} looks like the time of each row: scores and intervals hold for the same period only. "
    "If predictions will be for later rows"
)
