"""Neural networks: activations, initializers, losses, layers, the network and the gradient check."""

from chainrule.nn import activations, gradcheck, initializers, layers, losses, network

__all__ = ["activations", "gradcheck", "initializers", "layers", "losses", "network"]
