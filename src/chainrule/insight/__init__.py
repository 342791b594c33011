"""Insight: what happens inside a network, as numbers and sentences."""

from chainrule.insight.trace import Trace, trace
from chainrule.insight.tracing.proof import Proof
from chainrule.insight.tracing.quantities import Quantity

__all__ = ["Proof", "Quantity", "Trace", "trace"]
