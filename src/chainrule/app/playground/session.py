"""One tab: its settings, its data and its training, and a method for every message that the page sends.

A session is synchronous: `receive` handles a message, `advance` trains for a moment, and both pass answers to `send`,
as text (JSON) or bytes (see `frames`). `Worker` runs a session in its own thread, so that training never blocks the
server or another tab.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from inspect import signature
from logging import getLogger
from math import isfinite
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any

import numpy as np

import chainrule
from chainrule.app.playground import building, doctor, frames, picture, plane, settings, share
from chainrule.app.playground.explain import explain
from chainrule.app.playground.lessons import LESSONS, lesson_setup
from chainrule.app.playground.pace import Pace
from chainrule.app.playground.settings import Setup
from chainrule.app.playground.steps import Walk
from chainrule.app.playground.table import Table
from chainrule.app.playground.training import LIVE, Replay, Training
from chainrule.arrays import require
from chainrule.errors import ChainruleError, TableError, first_line, look_up
from chainrule.nn.vector import Block

FRAME_SECONDS, SLICE_SECONDS, EXAMINE_SECONDS = 1 / 30, 0.01, 2.0
"""Shortest time between two frames, longest training between two checks for messages, and time between two diagnoses
during training."""
MAX_EXAMINE_SHARE = 0.1
"""Largest fraction of the time that diagnoses may take."""

Send = Callable[[str | bytes], None]


class Session:
    """A tab of the page."""

    def __init__(self, send: Send) -> None:
        self._send_to_page = send
        self.setup = Setup()
        self.table: Table | None = None
        self.playing = False
        self._pace = Pace()
        self._acknowledged, self._changed = True, False
        self._last_frame = self._next_examination = 0.0
        self._rows_sent = 0
        self._walk: Walk | None = None
        self._replay: Replay | None = None
        sample = plane.draw(self.setup)
        self.training = Training(self.setup, sample)

    # Messages.

    def receive(self, text: str) -> None:
        """Handle a message; report errors in it to the page."""
        try:
            message = json.loads(text)
            has_type = isinstance(message, Mapping) and isinstance(message.get("type"), str)
            require(has_type, "a message", "have a type", message)
            values = dict(message)
            method = look_up(_METHODS, values.pop("type"), "type")
            try:
                signature(method).bind(self, **values)
            except TypeError as error:
                raise ValueError(f"{message['type']}: {error}") from None
            with np.errstate(all="ignore"):  # a network may be diverging
                method(self, **values)
        except (ChainruleError, ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
            self._send_error(error)

    def open(self, link: str = "", lesson: str = "") -> None:
        """Send the choices, and start from a link or a lesson."""
        lessons = [
            {"name": name, "title": each.title, "try": each.try_, "why": each.why} for name, each in LESSONS.items()
        ]
        self._send_json(
            "hello", version=chainrule.__version__, choices=settings.CHOICES, lessons=lessons,
            max_units=settings.MAX_UNITS, max_layers=settings.MAX_LAYERS,
        )  # fmt: skip
        self._send_to_page(picture.thumbnails())
        setup, replay = self._opened(link, lesson)
        self._start(setup)
        if replay is not None:
            for change in replay.changes:
                if change.name not in LIVE:
                    self._block(change.name, list(change.index))
            self._replay = replay
            self.play()

    def _opened(self, link: str, lesson: str) -> tuple[Setup, Replay | None]:
        """Return the settings of a lesson or a link, and the training to repeat; report errors in them."""
        try:
            if lesson:
                return lesson_setup(lesson), None
            setup, replay = share.from_moment(link)
        except ValueError as error:
            self._send_error(error)
            return self.setup, None
        if setup.data == "table" and self.table is None:
            self._send_error(TableError("the link does not contain its table. Drop the file on the page."))
            return setup.changed({"data": "circle"}), None
        return setup, replay

    def choose(self, lesson: str) -> None:
        """Start a lesson."""
        setup = lesson_setup(lesson)
        self.playing = False
        self._start(setup)

    def set(self, changes: Mapping[str, Any]) -> None:
        """Change settings. Those in LIVE take effect at once, the others restart training from the same seed."""
        setup = self.setup.changed(changes)
        if set(changes) <= {*LIVE, "hide"}:
            self.training.set_live(setup)
            self.setup, self._changed, self._replay = setup, True, None
            self._end_walk()
            self._send_setup()
        else:
            self._start(setup, keep_loss="data" not in changes or "loss" in changes)

    def read(self, name: str, text: str) -> None:
        """Use a table, given as the text of a CSV file."""
        table = Table.read(name, text)
        setup = self.setup.changed({"data": "table", "target": "", "across": "", "up": "", "noise": 0.0})
        table.sample(setup)  # raises before anything changes
        self.table = table
        self._start(setup, keep_loss=False)

    def points(self, points: list[Any]) -> None:
        """Add points that were drawn."""
        before = self.setup.points if self.setup.data == "points" else ()
        self._start(self.setup.changed({"data": "points", "points": [*before, *points]}), keep_loss=False)

    def play(self) -> None:
        """Train until `pause`."""
        self._pace.start()
        self.playing = True
        self._end_walk()
        self._send_state()

    def pause(self) -> None:
        """Stop training."""
        self.playing, self._replay = False, None
        self._send_state()
        self._examine()

    def set_pace(self, speed: float) -> None:
        """Set the number of epochs per second; 0: as fast as possible."""
        self._pace.set(speed)

    def reset(self) -> None:
        """Restart training from the same seed."""
        self.playing = False
        self._start(self.setup)

    def step(self, of: str) -> None:
        """Train for an epoch, or advance to the next phase of a batch or a row."""
        require(of in ("epoch", "batch", "row"), "of", "be epoch, batch or row", of)
        self.playing, self._replay = False, None
        if self.training.ended:
            self._end_schedule()
            return
        if of == "epoch":
            self._end_walk()
            self.training.take_epoch()
            if perf_counter() > self._next_examination:
                self._examine()
        else:
            by_row = of == "row"
            if self._walk is None or self._walk.done or (self._walk.row is not None) != by_row:
                self._walk = Walk(self.training, by_row)
            self._walk.advance()
            self._send_json("walk", **self._walk.show())
        self._changed = True
        self._send_state()

    def _end_walk(self) -> None:
        """End the walk through a step: its numbers are no longer those of the network."""
        if self._walk is not None:
            self._walk = None
            self._send_json("walk", phase="")

    def weight(self, name: str, index: list[int], value: float) -> None:
        """Set an entry of a parameter."""
        block = self._block(name, index)
        require(isinstance(value, int | float), "a weight", "be a number", value)
        self.training.set_weight(block, tuple(index), value)
        self._changed, self._rows_sent, self._replay = True, 0, None
        self._end_walk()
        self.explain(name, index)

    def explain(self, name: str, index: list[int]) -> None:
        """Explain an entry of a parameter."""
        self._block(name, index)
        self._send_json("explained", **explain(self.training, name, tuple(index)))

    def _block(self, name: str, index: Any) -> Block:
        """Return a block of parameters by its name; raise ValueError unless the index is in it."""
        block = look_up({block.full_name: block for block in self.training.net.blocks}, name, "name")
        require(_is_place(index, block.shape), "index", f"be a place in shape {block.shape}", index)
        return block

    def export(self, form: str) -> None:
        """Send a script or a model file."""
        contents = {
            "python": lambda: share.to_python(self.training).encode(),
            "model": lambda: share.to_model(self.training),
        }
        names = {"python": "playground.py", "model": "playground.chainrule"}
        content = look_up(contents, form, "form")()
        self._send_to_page(frames.encode("file", {"name": names[form]}, {"content": np.frombuffer(content, np.uint8)}))

    def link(self) -> None:
        """Send the link with the training so far."""
        self._send_json("link", link=share.to_moment(self.training))

    def ack(self) -> None:
        """The page has drawn the last frame."""
        self._acknowledged = True

    # Time.

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do until the next message."""
        return not (self.playing or self._changed)

    @property
    def pause_seconds(self) -> float:
        """How long to wait for a message before the next `advance`."""
        if self.playing and (self._replay is not None or not self._pace.speed):
            return 0.0
        return min(max(self._last_frame + FRAME_SECONDS - perf_counter(), 0.001), 0.01)

    def advance(self) -> None:
        """Train for a moment unless paused, and send a frame if one is due."""
        if self.playing:
            try:
                self._train()
            except (ChainruleError, ValueError) as error:  # it diverged, or a link has a change that is not possible
                self.playing, self._replay = False, None
                self._send_error(error)
                self._send_state()
                self._examine()
            self._changed = True
        now = perf_counter()
        if self._changed and self._acknowledged and now - self._last_frame >= FRAME_SECONDS:
            self.show()
        if self.playing and now > self._next_examination:
            self._examine()

    def show(self) -> None:
        """Send a frame; the next one is due a fixed time after this one was."""
        due, now = self._last_frame + FRAME_SECONDS, perf_counter()
        self._last_frame = due if due <= now < due + FRAME_SECONDS else now
        self._send_to_page(picture.frame(self.training, self._rows_sent))
        self._rows_sent = len(self.training.curve)
        self._acknowledged, self._changed = False, False

    def _train(self) -> None:
        """Train until the end of the time slice, or for as many batches as the pace allows."""
        self._pace.pass_time(self.training.run.n_batches)
        end = perf_counter() + SLICE_SECONDS
        if self._acknowledged:  # a frame is due
            end = min(end, self._last_frame + FRAME_SECONDS)
        while True:
            if self._replay is not None and self._replay.catch_up(self.training):
                self._end_replay()
                return
            if self.training.ended:
                break
            if self._replay is None and not self._pace.take():
                return
            self.training.take_batch()
            if perf_counter() >= end:
                return
        self._end_schedule()

    def _end_schedule(self) -> None:
        """Pause, because the schedule has ended."""
        self.playing, self._replay = False, None
        self._send_json("notice", text=f"The schedule ended after {self.training.run.epochs:,} epochs.")
        self._send_state()

    def _end_replay(self) -> None:
        """Pause where the link was made."""
        self.playing, self._replay = False, None
        self.setup = self.training.setup
        self._send_setup()
        self._send_state()

    # Answers.

    def _start(self, setup: Setup, keep_loss: bool = True) -> None:
        """Restart with other settings, unless they are invalid; a session that plays keeps playing.

        Without `keep_loss`, targets of another kind get their default loss.
        """
        try:
            sample = plane.draw(setup, self.table)
            keep_loss |= sample.is_classification == self.training.sample.is_classification
            self.training = Training(building.fitting(setup, sample, keep_loss), sample)
        except (ChainruleError, ValueError) as error:
            self._send_error(error)
        self.setup = self.training.setup
        self._rows_sent, self._changed, self._replay = 0, True, None
        self._end_walk()
        self._send_setup()
        self._send_to_page(picture.data(self.training.sample))
        self._send_to_page(picture.network(self.training))
        self._send_state()
        self._send_json("findings", findings=[])

    def _send_json(self, kind: str, **values: Any) -> None:
        self._send_to_page(json.dumps({"type": kind, **_finite(values)}))

    def _send_setup(self) -> None:
        losses = building.losses_for(self.training.sample)
        table = None if self.table is None else {"name": self.table.name, "columns": list(self.table.columns)}
        link = settings.to_link(self.setup)
        self._send_json("setup", setup=self.setup.to_dict(), link=link, losses=losses, table=table)

    def _send_state(self) -> None:
        self._send_json("state", playing=self.playing, ended=self.training.ended, failure=self.training.failure)

    def _send_error(self, error: Exception) -> None:
        self._send_json("error", text=first_line(error))

    def give_up(self, error: Exception) -> None:
        """Pause after an unexpected error, and report it."""
        self.playing = self._changed = False
        self._send_json("error", text=f"The playground failed: {type(error).__name__}: {first_line(error)}")
        self._send_state()

    def _examine(self) -> None:
        """Diagnose the training, and schedule the next diagnosis."""
        start = perf_counter()
        try:
            with np.errstate(all="ignore"):
                self._send_json("findings", findings=doctor.examine(self.training))
        except (ChainruleError, ArithmeticError) as error:
            self._send_json("findings", findings=[], failure=first_line(error))
        took = perf_counter() - start
        self._next_examination = start + took + max(EXAMINE_SECONDS, took / MAX_EXAMINE_SHARE)


def _finite(value: Any) -> Any:
    """Return plain data with None in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _is_place(index: Any, shape: tuple[int, ...]) -> bool:
    """Return whether an index is one of an entry of an array of this shape."""
    fits = isinstance(index, list) and len(index) == len(shape)
    return fits and all(isinstance(i, int) and 0 <= i < n for i, n in zip(index, shape))


_METHODS: dict[str, Callable[..., None]] = {
    "open": Session.open, "lesson": Session.choose, "set": Session.set, "table": Session.read,
    "points": Session.points, "play": Session.play, "pause": Session.pause, "pace": Session.set_pace,
    "reset": Session.reset, "step": Session.step, "weight": Session.weight, "explain": Session.explain,
    "export": Session.export, "link": Session.link, "ack": Session.ack,
}  # fmt: skip
"""Type of a message -> the method that handles it; the message's other entries are its arguments."""


class Worker(Thread):
    """A session in a thread of its own; messages wait in its inbox."""

    def __init__(self, send: Send) -> None:
        super().__init__(name="playground session", daemon=True)
        self.inbox: SimpleQueue[str | None] = SimpleQueue()
        self._send_to_page = send

    def run(self) -> None:
        """Handle messages, and train between them, until `close`."""
        session = Session(self._send_to_page)
        while True:
            try:
                if not self._work(session):
                    return
            except Exception as error:  # otherwise the tab would freeze without a message
                getLogger(__name__).exception("the playground failed")
                session.give_up(error)

    def _work(self, session: Session) -> bool:
        """Handle the next message, or train for a moment; return False at the end."""
        try:
            text = self.inbox.get(timeout=None if session.idle else session.pause_seconds)
        except Empty:
            session.advance()
            return True
        if text is not None:
            session.receive(text)
        return text is not None

    def close(self) -> None:
        """End the thread after the current slice."""
        self.inbox.put(None)
