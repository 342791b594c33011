"""Figures of `learn/common-mistakes.md`, of the networks in tests/planted_bugs.py."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import SGD, Network, train
from chainrule.arrays import Array
from chainrule.viz.style import palette_for
from figures import new

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tests"))
from planted_bugs import BUGS, X, Y

_SHOWN = ("sigma' forgotten", "W not transposed", "updated too early", "bias of one row")


def start() -> dict[str, Any]:
    """Return what the figure to play with shows: for four bugs, loss curves and a comparison of gradients."""
    mistakes = []
    for name in _SHOWN:
        right, wrong = (_gradients(BUGS[name](bug)) for bug in (False, True))
        lengths = {block: float(np.linalg.norm(wrong[block]) / np.linalg.norm(right[block])) for block in right}
        blocks = [[block, _cosine(right[block], wrong[block]), lengths[block]] for block in right]
        losses = {key: _losses(name, bug) for key, bug in (("right", False), ("wrong", True))}
        mistakes.append({"name": name, "blocks": blocks, **losses})
    return {"mistakes": mistakes}


def cosines() -> list[Axes]:
    """The cosine between right and wrong gradient, for each parameter array."""
    panels = []
    for name in _SHOWN:
        right, wrong = (_gradients(BUGS[name](bug)) for bug in (False, True))
        cosine = [_cosine(right[block], wrong[block]) for block in right]
        ax = new(1.8, 2.2, title=name, xlim=(-1.1, 1.1), xticks=[-1, 0, 1])
        colors = palette_for(ax)
        paint = [colors.red if value < 0.9 else colors.blue for value in cosine]
        ax.barh(list(right), cosine, color=paint)
        ax.axvline(0, color=colors.pale, linewidth=0.6)
        ax.invert_yaxis()
        panels.append(ax)
    return panels


def curves() -> list[Axes]:
    """Loss curves without and with a bug, from five starting points each."""
    ax = new(4.6, 2.8, xlabel="epoch", ylabel="loss", title="W not transposed", yscale="log")
    colors = palette_for(ax)
    for bug, color, dash, label in ((False, colors.blue, "-", "right"), (True, colors.red, "--", "wrong")):
        for seed in range(5):
            losses = _losses("W not transposed", bug, seed)
            ax.plot(
                range(1, 101), losses, color=color, linestyle=dash, linewidth=0.9, label=label if seed == 0 else None
            )
    ax.legend(frameon=False)
    return [ax]


def guess() -> list[Axes]:
    """A loss curve for each of four bugs, and of the network without it."""
    panels = []
    for letter, name in zip("ABCD", _SHOWN, strict=True):
        ax = new(1.8, 1.9, xlabel="epoch", title=f"network {letter}", yscale="log", ylim=(0.03, 1))
        colors = palette_for(ax)
        ax.plot(_losses(name, bug=False), color=colors.orange, linestyle="--", linewidth=0.9)
        ax.plot(_losses(name, bug=True), color=colors.blue, linewidth=0.9)
        panels.append(ax)
    return panels


def _cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def _gradients(net: Network) -> dict[str, Array]:
    """Return the gradient of each parameter array on 20 rows."""
    net.gradients_checked = True
    _, grad = net.loss_and_grad(X[:20], Y[:20])
    return {block.full_name: grad[block.slice] for block in net.blocks}


@cache
def _losses(name: str, bug: bool, seed: int = 0) -> list[float]:
    """Return a loss curve; other seeds have other weights in all layers, and other batches."""
    net = BUGS[name](bug)
    net.gradients_checked = True
    net.theta = net.theta * np.random.default_rng(seed).uniform(0.5, 1.5, net.theta.size)
    return train(net, X, Y, optimizer=SGD(0.3, momentum=0.9), epochs=100, batch_size=20, seed=seed).loss
