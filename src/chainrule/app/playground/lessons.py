"""Lessons: prepared settings, each with instructions and an explanation."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.app.playground.settings import Hidden, Setup
from chainrule.errors import look_up


@dataclass(frozen=True)
class Lesson:
    """Settings with a title, instructions (`try_`) and an explanation (`why`)."""

    title: str
    try_: str
    why: str
    setup: Setup


def _layers(*units: int, activation: str = "tanh", dropout: float = 0.0) -> tuple[Hidden, ...]:
    return tuple(Hidden(n, activation, dropout) for n in units)


LESSONS: dict[str, Lesson] = {
    "first": Lesson(
        "A first network",
        "Press play. Then point at a line between two units.",
        "Each square is the plane as one unit sees it. The units of the first layer know straight lines only; the"
        " second layer joins them into a ring.",
        Setup(),
    ),
    "neuron": Lesson(
        "A single neuron",
        "Press play, then step one row and watch the numbers.",
        "One sigmoid with the squared error (z: a weighted sum, a: its sigmoid) separates what a line separates. "
        "This is the textbook's first network: uncentered random weights, all rows in one batch, rate 1.",
        Setup(data="line", rows=200, noise=0.0, layers=(), output="sigmoid", loss="squared_error", optimizer="sgd",
              momentum=0.0, rate=1.0, batch=0, init="uniform", biases="uniform"),
    ),
    "disc": Lesson(
        "The textbook's 2-3-2 network",
        "Play to epoch 500. Then choose the initialization auto and play again.",
        "Three sigmoids draw a closed shape around the disc, and a few rows stay wrong. The weights start in [0, "
        "1): all units begin alike, and the first epochs go into telling them apart.",
        Setup(data="circle", rows=600, noise=0.0, layers=_layers(3, activation="sigmoid"), output="sigmoid", outputs=2,
              loss="squared_error", optimizer="sgd", momentum=0.0, rate=3.0, init="uniform", biases="uniform"),
    ),
    "xor": Lesson(
        "XOR without a hidden layer",
        "Press play. Then add a layer with 4 units.",
        "No line separates opposite corners, so the loss stays at log 2 = 0.69. One hidden layer is enough.",
        Setup(data="xor", noise=0.0, layers=()),
    ),
    "vanishing": Lesson(
        "Ten sigmoid layers",
        "Press play and look at the gradients of the layers. Then take the doctor's remedy.",
        "Each sigmoid multiplies the gradient by at most 1/4. After ten of them the first layers hardly learn.",
        Setup(layers=_layers(*[6] * 10, activation="sigmoid"), rate=0.03),
    ),
    "rate": Lesson(
        "A rate too high",
        "Press play and watch the loss. Then divide the rate by ten, twice.",
        "Each step jumps across the valley and lands higher than it started. The loss jumps up and down instead "
        "of falling.",
        Setup(data="xor", layers=_layers(6, 4), optimizer="sgd", momentum=0.9, rate=3.0),
    ),
    "dead": Lesson(
        "Dead ReLUs",
        "Press play, and look for squares in one color. Then try leaky_relu.",
        "A step that is too long pushes units below 0 forevery row. Their derivative is 0 there, so they never "
        "return.",
        Setup(layers=_layers(8, 8, activation="relu"), optimizer="sgd", momentum=0.0, rate=3.0, batch=5, seed=3),
    ),
    "overfitting": Lesson(
        "Overfitting",
        "Play to epoch 150 and compare the two curves. Then turn dropout on, or L2.",
        "40 noisy rows and two wide layers: the training loss falls on, while the test loss turns and rises. The "
        "network memorizes the noise.",
        Setup(rows=80, noise=0.3, layers=_layers(16, 16), rate=0.02),
    ),
    "dropout": Lesson(
        "The same with dropout",
        "Compare with the lesson before: same rows, same seed.",
        "In each batch a third of the units is switched off, so no unit can rely on another one. The gap is "
        "smaller.",
        Setup(rows=80, noise=0.3, layers=_layers(16, 16, dropout=0.3), rate=0.02),
    ),
    "batch": Lesson(
        "Batch size",
        "Play with a batch of 1, then of 10, then of all rows.",
        "Small batches take many noisy steps in an epoch, large ones few and smooth ones. Look at the curve's "
        "ripple.",
        Setup(data="blobs", rows=200, noise=0.2, layers=_layers(4), batch=1, rate=0.02, optimizer="sgd", momentum=0.0),
    ),
    "init": Lesson(
        "All weights zero",
        "Press play. Then choose another initialization.",
        "Units that start alike get the same gradient and stay alike forever: four units do the work of one.",
        Setup(layers=_layers(4, 4), init="zeros", rate=0.03),
    ),
    "uncentered": Lesson(
        "Uncentered weights",
        "Press play. Then choose the initialization auto.",
        "Weights from [0, 1) add up: in wide layers every sum is large and positive, and the units start "
        "saturated.",
        Setup(layers=_layers(16, 16), init="uniform", biases="uniform", optimizer="sgd", momentum=0.0, rate=0.1),
    ),
    "spiral": Lesson(
        "Spirals",
        "Press play and give it time. Then try silu, or three layers.",
        "Each arm needs many bends. Adam with a cosine schedule gets there; plain gradient descent takes much "
        "longer.",
        Setup(data="spiral", noise=0.01, layers=_layers(8, 8), schedule="cosine", rate=0.03, epochs=300),
    ),
    "surface": Lesson(
        "A surface of your own",
        "Press play. Then type another formula, such as x1*x2 or x1^2 > x2.",
        "Numbers instead of classes: the squared error pulls the surface to your function. With > it becomes two "
        "classes.",
        Setup(data="formula", noise=0.0, layers=_layers(8, 8), loss="squared_error"),
    ),
}  # fmt: skip
"""Name -> lesson, in the order in which the page lists them."""


def lesson_setup(name: str) -> Setup:
    """Return the settings of a lesson, which name it; raise ValueError if there is none of that name."""
    return look_up(LESSONS, name, "lesson").setup.changed({"lesson": name})
