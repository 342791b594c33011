r"""One training step as data: every quantity of the forward pass, the backward pass and the optimizer's update.

    trace(net, X, y) -> Trace

A trace is a list of quantities. Each is a term of earlier ones: `layers`, `losses` and `steps` write down the forward
pass and the update, and `tape` derives the backward pass by the chain rule. A trace can therefore be printed
(`text`, `page`), verified (`proof`) and turned into an exercise, in which mistakes are changes of the terms
(`mistakes`, `exercise`).
"""

from chainrule.insight.trace.model import Quantity, Trace
from chainrule.insight.trace.record import trace

__all__ = ["Quantity", "Trace", "trace"]
