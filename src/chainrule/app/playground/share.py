"""Sharing: links with the training so far, a Python script that reproduces it bit for bit, and a model file."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

from chainrule.app.playground import building
from chainrule.app.playground.settings import Setup, from_link, to_link
from chainrule.app.playground.training import FIRST, Change, Replay, Training
from chainrule.arrays import require
from chainrule.files.model import pack
from chainrule.nn.layers import Layer
from chainrule.training.guard import DivergedError

MAX_MOMENT = 10**7
_SCRIPT = '''\
"""Exported from chainrule playground. On the same machine it reproduces the numbers of the page bit for bit."""

from chainrule import {names}
from chainrule.app.playground.building import targets
{sampler}
from chainrule.app.playground.settings import from_link

setup = from_link({link!r})
{sample}
(X, y), (X_test, y_test) = ((X, targets(setup, sample, y)) for X, y in map(sample.rows, (True, False)))

net = Network(
    [
{layers}
    ],
    loss={loss!r},{penalties}
    seed={seed},
    dtype="float64",
)
{changes}history = train(
    net,
    X,
    y,
    optimizer={optimizer},
    schedule={schedule!r},
    epochs={epochs},
    batch_size={batch},
    validation=(X_test, y_test),
    metrics={metric!r},{callbacks}
    kernels="numpy",
    seed={seed},
)
{last}print("training loss", net.evaluate(X, y))  # {loss_value!r}
print("test loss", net.evaluate(X_test, y_test))  # {test_value!r}
'''
_CALLBACK = '''
class Changes(Callback):
    """Repeats the changes by hand at their moments, counted in batches and beginnings of epochs."""

    def on_train_begin(self, run):
        self.moment = 0

    def on_epoch_begin(self, run):
        self.advance(run)

    def on_batch_end(self, run):
        self.advance(run)
        if {stop}:
            run.stop = "exported here"

    def advance(self, run):
        self.moment += 1
{changes}

'''


def to_python(training: Training) -> str:
    """Return a script that repeats the training so far; raise ValueError if there is none."""
    setup, sample, run = training.setup, training.sample, training.run
    if run.epoch == 0 and run.epoch_fraction == 0:
        raise ValueError("training must have at least one step before it is exported, got none. Press Play first.")
    late = [change for change in training.changes if FIRST < change.moment < training.moment]
    depends = run.schedule.depends_on_n_epochs
    in_epoch = run.epoch_fraction > 0
    if in_epoch:
        _require_steady(training)
    has_callback = bool(late or in_epoch or (depends and not training.ended))
    optimizer = building.optimizer(setup)
    optimizer.learning_rate = training.first["rate"]
    return _SCRIPT.format(
        names=", ".join(_names(training, has_callback)),
        sampler=f"from chainrule.app.playground.{'table import Table' if sample.source else 'plane import draw'}",
        link=to_link(setup),
        sample=_TABLE.format(name=sample.source) if sample.source else "sample = draw(setup)",
        layers="\n".join(f"        {_layer_code(layer)}," for layer in training.net.layers),
        loss=setup.loss,
        penalties="".join(f"\n    {name}={value!r}," for name in ("l1", "l2") if (value := training.first[name])),
        seed=setup.seed,
        changes=_changes_code(training, late, has_callback),
        last=_last_code(training),
        optimizer=repr(optimizer).replace("steps=0, ", "").replace(", steps=0", ""),
        schedule=setup.schedule,
        epochs=run.epochs if depends else run.epoch + in_epoch,
        batch=setup.batch or None,
        metric=building.metric(sample),
        callbacks="\n    callbacks=Changes()," if has_callback else "",
        loss_value=training.net.evaluate(*run.rows[:2]),
        test_value=training.net.evaluate(*(run.validation or run.rows)[:2]),
    )


_TABLE = """\
with open({name!r}, encoding="utf-8") as file:
    sample = Table.read({name!r}, file.read()).sample(setup)"""


def _require_steady(training: Training) -> None:
    """Raise ValueError if the guard would take back the epoch, where a script would stop in it."""
    try:
        deepcopy(training.guard).check_epoch(training.run)
    except DivergedError as failure:
        raise ValueError(
            f"training must not be diverging when it is exported, got {failure}. Step to the next epoch."
        ) from None


def _changes_code(training: Training, late: list[Change], has_callback: bool) -> str:
    """Return the code of changes before the first batch, as statements, and of later ones, as a callback."""
    early = (c for c in training.changes if c.moment == FIRST and c.name not in training.first)
    code = "".join(f"{_code(change, 'net')}\n" for change in early)
    if has_callback:
        run = training.run
        lines = (f"        if self.moment == {c.moment}:\n            {_code(c, 'run.net')}\n" for c in late)
        last_batch = f"run.epoch == {run.epoch - 1} and run.batch == run.n_batches - 1"
        stop = f"self.moment == {training.moment}" if run.epoch_fraction else last_batch
        code += _CALLBACK.format(changes="".join(lines), stop=stop)
    return code


def _last_code(training: Training) -> str:
    """Return the code of changes after the last batch, and of penalties that were changed."""
    last = [c for c in training.changes if c.moment == training.moment > FIRST and c.name not in training.first]
    penalties = [name for name in ("l1", "l2") if getattr(training.net, name) != training.first[name]]
    lines = [f"net.{name} = {getattr(training.net, name)!r}" for name in penalties] + [_code(c, "net") for c in last]
    return "".join(f"{line}\n" for line in lines)


def _names(training: Training, has_callback: bool) -> list[str]:
    """Return the names to import from chainrule."""
    parts = {type(layer).__name__ for layer in training.net.layers} | {type(training.run.optimizer).__name__}
    return sorted({"Network", "train", *parts, *(["Callback"] if has_callback else [])}, key=str.lower)


def _layer_code(layer: Layer) -> str:
    """Return a layer as code, with the names of all options that are not the default ones."""
    options: Any = fields(layer)  # type: ignore[arg-type]
    required = [
        repr(getattr(layer, each.name)) for each in options if each.name in ("n_in", "n_out", "n", "function", "rate")
    ]
    named = [f"{each.name}={getattr(layer, each.name)!r}" for each in options if each.name in ("weights", "biases")]
    return f"{type(layer).__name__}({', '.join([*required, *named])})"


def _code(change: Change, net: str) -> str:
    """Return a change by hand as code."""
    if change.name == "rate":
        return f"run.optimizer.learning_rate = {change.value!r}"
    if change.name in ("l1", "l2"):
        return f"{net}.{change.name} = {change.value!r}"
    layer, _, name = change.name.partition(".")
    return f"{net}.params[{layer}][{name!r}][{', '.join(map(str, change.index))}] = {change.value!r}"


def to_model(training: Training) -> bytes:
    """Return the network as the content of a model file."""
    return pack(training.net)


# Links with the training so far.


def to_moment(training: Training) -> str:
    """Return the link of the first settings, with the moment and the changes by hand: see `from_moment`."""
    first = training.setup.changed(training.first)
    changes = [change for change in training.changes if change.moment > FIRST or change.name not in training.first]
    written = (f"{c.moment}_{c.name}_{'.'.join(map(str, c.index))}_{c.value!r}" for c in changes)
    progress = {"until": training.moment, **({"changes": ",".join(written)} if changes else {})}
    return "&".join(filter(None, (to_link(first), urlencode(progress))))


def from_moment(link: str) -> tuple[Setup, Replay | None]:
    """Return the settings of a link, and the training to repeat, if it has one."""
    parts = dict(parse_qsl(link.removeprefix("#"), keep_blank_values=True))
    until, changes = parts.pop("until", ""), parts.pop("changes", "")
    setup = from_link(urlencode(parts))
    if not until:
        return setup, None
    fits = until.isascii() and until.isdigit() and int(until) <= MAX_MOMENT
    require(fits, "until", f"be an integer from 0 to {MAX_MOMENT:,}", until)
    return setup, Replay(int(until), [_change(text) for text in changes.split(",") if text])


def _change(text: str) -> Change:
    try:
        moment, name, index, value = text.split("_")
        return Change(int(moment), name, tuple(int(i) for i in index.split(".") if i), float(value))
    except ValueError:
        raise ValueError(f"changes must be written as moment_name_index_value, got {text!r}") from None
