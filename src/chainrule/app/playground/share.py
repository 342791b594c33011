"""Sharing: links with the training so far, a Python script that reproduces it bit for bit, and a model file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

from chainrule.app.playground import building
from chainrule.app.playground.settings import Setup, from_link, to_link
from chainrule.app.playground.training import Change, Replay, Training
from chainrule.arrays import require
from chainrule.files.model import pack
from chainrule.nn.layers import Layer

MAX_STEPS = 10**7
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
print("training loss", net.evaluate(X, y))  # {loss_value!r}
print("test loss", net.evaluate(X_test, y_test))  # {test_value!r}
'''
_CALLBACK = '''
class Changes(Callback):
    """Repeats the changes made by hand, each after the same number of batches, and stops at the end."""

    def on_train_begin(self, run):
        self.steps = 0

    def on_batch_end(self, run):
        self.steps += 1
{changes}        if self.steps == {steps}:
            run.stop = "exported here"


'''


def to_python(training: Training) -> str:
    """Return a script that repeats the training so far; raise ValueError if there is none."""
    setup, sample, run = training.setup, training.sample, training.run
    if run.epoch == 0 and run.epoch_fraction == 0:
        raise ValueError("training must have at least one step before it is exported, got none. Press Play first.")
    late = [change for change in training.changes if change.step]
    depends = run.schedule.depends_on_n_epochs
    stops = bool(late or run.epoch_fraction or (depends and not training.ended))
    optimizer = building.optimizer(setup)
    optimizer.learning_rate = training.first["rate"]
    return _SCRIPT.format(
        names=", ".join(_names(training, stops)),
        sampler=f"from chainrule.app.playground.{'table import Table' if sample.source else 'plane import draw'}",
        link=to_link(setup),
        sample=_TABLE.format(name=sample.source) if sample.source else "sample = draw(setup)",
        layers="\n".join(f"        {_layer_code(layer)}," for layer in training.net.layers),
        loss=setup.loss,
        penalties="".join(f"\n    {name}={value!r}," for name in ("l1", "l2") if (value := training.first[name])),
        seed=setup.seed,
        changes=_changes_code(training, late, stops),
        optimizer=repr(optimizer).replace("steps=0, ", "").replace(", steps=0", ""),
        schedule=setup.schedule,
        epochs=run.epochs if depends else run.epoch + stops,
        batch=setup.batch or None,
        metric=building.metric(sample),
        callbacks="\n    callbacks=Changes()," if stops else "",
        loss_value=training.net.evaluate(*run.rows[:2]),
        test_value=training.net.evaluate(*(run.validation or run.rows)[:2]),
    )


_TABLE = """\
with open({name!r}, encoding="utf-8") as file:
    sample = Table.read({name!r}, file.read()).sample(setup)"""


def _changes_code(training: Training, late: list[Change], stops: bool) -> str:
    """Return the code of the changes by hand: those before the first batch as statements, later ones as a callback."""
    early = [change for change in training.changes if change.step == 0 and change.name not in training.first]
    code = "".join(f"{_code(change, 'net')}\n" for change in early)
    if stops:
        lines = (f"        if self.steps == {c.step}:\n            {_code(c, 'run.net')}\n" for c in late)
        code += _CALLBACK.format(changes="".join(lines), steps=training.steps)
    return code


def _names(training: Training, stops: bool) -> list[str]:
    """Return the names to import from chainrule."""
    parts = {type(layer).__name__ for layer in training.net.layers} | {type(training.run.optimizer).__name__}
    return sorted({"Network", "train", *parts, *(["Callback"] if stops else [])}, key=str.lower)


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
    """Return the link of the first settings, with the number of batches and the changes by hand: see `from_moment`."""
    first = training.setup.changed(training.first)
    changes = [change for change in training.changes if change.step or change.name not in training.first]
    written = (f"{c.step}_{c.name}_{'.'.join(map(str, c.index))}_{c.value!r}" for c in changes)
    progress = {"steps": training.steps, **({"changes": ",".join(written)} if changes else {})}
    return "&".join(filter(None, (to_link(first), urlencode(progress))))


def from_moment(link: str) -> tuple[Setup, Replay | None]:
    """Return the settings of a link, and the training to repeat, if it has one."""
    parts = dict(parse_qsl(link.removeprefix("#"), keep_blank_values=True))
    steps, changes = parts.pop("steps", ""), parts.pop("changes", "")
    setup = from_link(urlencode(parts))
    if not steps:
        return setup, None
    require(
        steps.isascii() and steps.isdigit() and int(steps) <= MAX_STEPS,
        "steps",
        f"be an integer from 0 to {MAX_STEPS:,}",
        steps,
    )
    return setup, Replay(int(steps), [_change(text) for text in changes.split(",") if text])


def _change(text: str) -> Change:
    try:
        step, name, index, value = text.split("_")
        return Change(int(step), name, tuple(int(i) for i in index.split(".") if i), float(value))
    except ValueError:
        raise ValueError(f"changes must be written as step_name_index_value, got {text!r}") from None
