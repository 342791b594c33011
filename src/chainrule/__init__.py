"""Feed-forward neural networks on NumPy alone: read them, check them, ship them."""

from chainrule.nn.gradcheck import check_gradients
from chainrule.nn.layers import Activation, BatchNorm, Bounded, Dense, Dropout, Layer, LayerNorm, Residual, Scale
from chainrule.nn.losses import Loss
from chainrule.nn.network import Network, mlp
from chainrule.train.callbacks import Callback, EarlyStopping, KeepBest, ProgressBar, TimeLimit
from chainrule.train.history import History
from chainrule.train.loop import train
from chainrule.train.optimizers import SGD, Adam, AdamW, Optimizer, RMSProp

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "BatchNorm",
    "Bounded",
    "Callback",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "History",
    "KeepBest",
    "Layer",
    "LayerNorm",
    "Loss",
    "Network",
    "Optimizer",
    "ProgressBar",
    "RMSProp",
    "Residual",
    "Scale",
    "TimeLimit",
    "check_gradients",
    "mlp",
    "train",
]
__version__ = "0.1.0"


def __getattr__(name):
    if name in ("MLPClassifier", "MLPRegressor"):
        from chainrule.estimators import mlp

        return getattr(mlp, name)
    raise AttributeError(name)
