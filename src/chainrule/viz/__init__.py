"""Figures. Each function draws one figure on the given Axes, or on new ones, and returns the Axes."""

from chainrule.errors import MissingExtraError

try:
    import matplotlib as matplotlib
except ModuleNotFoundError as error:
    raise MissingExtraError("chainrule.viz", "plot") from error

from chainrule.viz.animation import animate_boundary
from chainrule.viz.classifiers import calibration, confusion, precision_recall, roc
from chainrule.viz.curves import loss_curves
from chainrule.viz.dependence import dependence_limits, interaction, partial_dependence
from chainrule.viz.diagrams import draw_graph, draw_network
from chainrule.viz.explanations import beeswarm, waterfall
from chainrule.viz.flows import activation_histograms, gradient_histograms
from chainrule.viz.influence import importance
from chainrule.viz.landscapes import descent_paths, loss_surface
from chainrule.viz.planes import decision_boundary, learned_line, scatter_labels, scatter_predictions
from chainrule.viz.regressors import predicted_against_actual, residuals
from chainrule.viz.weights import weight_images

__all__ = [
    "activation_histograms",
    "animate_boundary",
    "beeswarm",
    "calibration",
    "confusion",
    "decision_boundary",
    "dependence_limits",
    "descent_paths",
    "draw_graph",
    "draw_network",
    "gradient_histograms",
    "importance",
    "interaction",
    "learned_line",
    "loss_curves",
    "loss_surface",
    "partial_dependence",
    "precision_recall",
    "predicted_against_actual",
    "residuals",
    "roc",
    "scatter_labels",
    "scatter_predictions",
    "waterfall",
    "weight_images",
]
