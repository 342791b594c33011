"""Settings: the state of all controls, checked, and its form as the text of a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import Any
from urllib.parse import parse_qsl, urlencode

from chainrule.arrays import require
from chainrule.errors import look_up
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.initializers import INITIALIZERS
from chainrule.nn.losses import LOSSES
from chainrule.training.optimizers import OPTIMIZERS
from chainrule.training.schedules import SCHEDULES

MAX_UNITS, MAX_LAYERS, MAX_POINTS, MAX_FORMULA = 16, 12, 2_000, 200
NORMS = ("none", "batch", "layer")
_SMOOTH = tuple(name for name in ACTIVATIONS if name != "step")
"""A step cannot be trained by gradient descent."""

CHOICES: dict[str, tuple[str, ...]] = {
    "data": (
        "circle", "xor", "spiral", "blobs", "line", "three", "slope", "hills", "waves", "formula", "points", "table",
    ),
    "activation": _SMOOTH,
    "norm": NORMS,
    "loss": tuple(LOSSES),
    "output": _SMOOTH,
    "optimizer": ("sgd", "nesterov", *tuple(OPTIMIZERS)[1:]),
    "schedule": tuple(SCHEDULES),
    "init": ("auto", *INITIALIZERS),
    "biases": tuple(INITIALIZERS),
}  # fmt: skip
"""Setting -> its options, those of layers included."""

LIMITS: dict[str, tuple[type, float, float]] = {
    "rows": (int, 10, 5_000),
    "noise": (float, 0, 1),
    "ratio": (float, 0.1, 0.9),
    "sample": (int, 0, 10**6),
    "outputs": (int, 0, 2),
    "rate": (float, 1e-6, 1e3),
    "momentum": (float, 0, 0.999),
    "epochs": (int, 1, 100_000),
    "batch": (int, 0, 10_000),
    "l1": (float, 0, 10),
    "l2": (float, 0, 10),
    "seed": (int, 0, 10**6),
    "units": (int, 1, MAX_UNITS),
    "dropout": (float, 0, 0.9),
}
"""Setting -> its type, and its smallest and largest value."""


def _check(settings: Any) -> None:
    """Raise ValueError for a setting that is no option, or out of its limits; numbers become those of their type."""
    for each in fields(settings):
        name, value = each.name, getattr(settings, each.name)
        if name in CHOICES:
            look_up(dict.fromkeys(CHOICES[name]), value, name)
        elif name in LIMITS:
            kind, low, high = LIMITS[name]
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
            rule = f"be {'an integer' if kind is int else 'a number'} from {low:g} to {high:g}"
            require(
                is_number and low <= value <= high and value == (kind(value) if is_number else 0), name, rule, value
            )
            object.__setattr__(settings, name, kind(value))


@dataclass(frozen=True)
class Hidden:
    """A hidden layer: Dense, then a norm, the activation and dropout."""

    units: int = 4
    activation: str = "tanh"
    dropout: float = 0.0
    norm: str = "none"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Setup:
    """Everything that determines the numbers on the page, from the data to the seed.

    `rows` and `noise` are of a sample that is drawn, `sample` is its seed. `formula`, `points` (x, y, class) and the
    columns `target`, `across` and `up` of a table are the user's own data. `batch` 0 is all rows; `outputs` 0 chooses
    by the loss, 1 and 2 are for two classes. `epochs` matters to schedules alone. `lesson` is the one that is shown.
    """

    data: str = "circle"
    rows: int = 500
    noise: float = 0.05
    ratio: float = 0.5
    sample: int = 0
    formula: str = "sin(3*x1) * cos(2*x2)"
    points: tuple[tuple[float, float, int], ...] = ()
    target: str = ""
    across: str = ""
    up: str = ""
    standardize: bool = True
    layers: tuple[Hidden, ...] = (Hidden(6), Hidden(4))
    output: str = "identity"
    outputs: int = 0
    loss: str = "binary_cross_entropy"
    optimizer: str = "adam"
    rate: float = 0.01
    momentum: float = 0.9
    schedule: str = "constant"
    epochs: int = 200
    batch: int = 10
    l1: float = 0.0
    l2: float = 0.0
    init: str = "auto"
    biases: str = "zeros"
    seed: int = 0
    lesson: str = ""
    hide: tuple[str, ...] = ()
    """Parts of the page that a lesson hides."""

    def __post_init__(self) -> None:
        _check(self)
        for name in ("formula", "target", "across", "up", "lesson"):
            value = getattr(self, name)
            fits = isinstance(value, str) and len(value) <= MAX_FORMULA
            require(fits, name, f"be text of at most {MAX_FORMULA} characters", value)
        require(isinstance(self.standardize, bool), "standardize", "be true or false", self.standardize)
        require(len(self.layers) <= MAX_LAYERS, "layers", f"be at most {MAX_LAYERS}", len(self.layers))
        require(len(self.points) <= MAX_POINTS, "points", f"be at most {MAX_POINTS:,}", len(self.points))

    def changed(self, changes: Mapping[str, Any]) -> Setup:
        """Return a setup with some settings changed, given as plain data."""
        plain = dict(changes)
        for name in plain:
            look_up(dict.fromkeys(_NAMES), name, "a setting")
        if "layers" in plain:
            plain["layers"] = tuple(_hidden(layer) for layer in _as_list(plain["layers"], "layers"))
        if "points" in plain:
            plain["points"] = tuple(_point(point) for point in _as_list(plain["points"], "points"))
        if "hide" in plain:
            plain["hide"] = tuple(str(name) for name in _as_list(plain["hide"], "hide"))
        return replace(self, **plain)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)


_NAMES = tuple(each.name for each in fields(Setup))
_DEFAULT = Setup()


def _as_list(value: Any, name: str) -> list[Any]:
    require(isinstance(value, list | tuple), name, "be a list", value)
    return list(value)


def _hidden(layer: Any) -> Hidden:
    if isinstance(layer, Hidden):
        return layer
    require(isinstance(layer, Mapping), "layers", "be a list of objects", layer)
    for name in layer:
        look_up(dict.fromkeys(each.name for each in fields(Hidden)), name, "an entry of layers")
    return Hidden(**layer)


def _point(point: Any) -> tuple[float, float, int]:
    require(isinstance(point, list | tuple) and len(point) == 3, "points", "be a list of [x, y, class]", point)
    x, y, label = point
    numbers = all(isinstance(value, int | float) and abs(value) <= 10 for value in (x, y))
    require(numbers and label in range(5), "points", "have coordinates within 10 and a class from 0 to 4", point)
    return round(float(x), 3), round(float(y), 3), int(label)


# Links.


def to_link(setup: Setup) -> str:
    """Return the settings that are not the default ones as the text after the # of an address.

    Examples
    --------
    >>> to_link(Setup(data="xor", layers=(Hidden(4), Hidden(2, "relu", 0.2, "batch"))))
    'data=xor&layers=4-tanh%2C2-relu-0.2-batch'
    >>> to_link(Setup()), from_link("data=xor").data
    ('', 'xor')
    """
    changed = {name: getattr(setup, name) for name in _NAMES if getattr(setup, name) != getattr(_DEFAULT, name)}
    return urlencode({name: _to_text(name, value) for name, value in changed.items()})


def _to_text(name: str, value: Any) -> str:
    if name == "layers":
        return ",".join(_layer_text(layer) for layer in value)
    if name == "points":
        return ",".join("_".join(_digits(float(number)) for number in point) for point in value)
    if name == "hide":
        return ",".join(value)
    if isinstance(value, float):
        return _digits(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _digits(value: float) -> str:
    """Return every digit of a number: a link repeats a training exactly."""
    return repr(value).removesuffix(".0")


def _layer_text(layer: Hidden) -> str:
    parts = [str(layer.units), layer.activation, _digits(layer.dropout), layer.norm]
    while len(parts) > 2 and parts[-1] == ("none", "0")[len(parts) == 3]:
        parts.pop()
    return "-".join(parts)


def from_link(text: str) -> Setup:
    """Return the setup that `to_link` wrote; raise ValueError naming what is wrong in one that was edited."""
    changes: dict[str, Any] = {}
    for name, value in parse_qsl(text.removeprefix("#"), keep_blank_values=True):
        look_up(dict.fromkeys(_NAMES), name, "a setting")
        changes[name] = _from_text(name, value)
    return _DEFAULT.changed(changes)


def _from_text(name: str, text: str) -> Any:
    parts = [part for part in text.split(",") if part]
    if name == "layers":
        return [_layer_from(part) for part in parts]
    if name == "points":
        return [[_number(float, x, name), _number(float, y, name), _number(int, label, name)]
                for x, y, label in (_fields(part, "_", 3, name) for part in parts)]  # fmt: skip
    if name == "hide":
        return parts
    if name in LIMITS:
        return _number(LIMITS[name][0], text, name)
    return text == "true" if name == "standardize" else text


def _layer_from(text: str) -> Hidden:
    units, activation, dropout, norm = (*text.split("-"), "", "", "")[:4]
    return Hidden(
        _number(int, units, "units"), activation or "tanh", _number(float, dropout or "0", "dropout"), norm or "none"
    )


def _fields(text: str, separator: str, n: int, name: str) -> list[str]:
    parts = text.split(separator)
    require(len(parts) == n, name, f"have {n} numbers each", text)
    return parts


def _number(kind: type, text: str, name: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} must be {'an integer' if kind is int else 'a number'}, got {text!r}") from None
