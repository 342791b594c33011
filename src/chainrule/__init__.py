"""Feed-forward neural networks on NumPy alone: read them, check them, ship them.

Each name is loaded from its room when it is first used: importing chainrule costs next to nothing, a process that only
predicts loads no training, and only the estimators load scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.data.tabular import TabularEncoder as TabularEncoder
    from chainrule.estimators.mlp import MLPClassifier as MLPClassifier
    from chainrule.estimators.mlp import MLPRegressor as MLPRegressor
    from chainrule.estimators.tabular import TabularClassifier as TabularClassifier
    from chainrule.estimators.tabular import TabularRegressor as TabularRegressor
    from chainrule.insight.diagnosis import diagnose as diagnose
    from chainrule.insight.trace import Trace as Trace
    from chainrule.insight.trace import trace as trace
    from chainrule.model.file import load as load
    from chainrule.model.file import save as save
    from chainrule.model.predictor import Predictor as Predictor
    from chainrule.nn.gradcheck import check_gradients as check_gradients
    from chainrule.nn.layers import Activation as Activation
    from chainrule.nn.layers import BatchNorm as BatchNorm
    from chainrule.nn.layers import Bounded as Bounded
    from chainrule.nn.layers import Dense as Dense
    from chainrule.nn.layers import Dropout as Dropout
    from chainrule.nn.layers import Layer as Layer
    from chainrule.nn.layers import LayerNorm as LayerNorm
    from chainrule.nn.layers import Residual as Residual
    from chainrule.nn.layers import Scale as Scale
    from chainrule.nn.losses import Loss as Loss
    from chainrule.nn.network import Network as Network
    from chainrule.nn.network import mlp as mlp
    from chainrule.training.callbacks import Callback as Callback
    from chainrule.training.callbacks import EarlyStopping as EarlyStopping
    from chainrule.training.callbacks import KeepBest as KeepBest
    from chainrule.training.callbacks import ProgressBar as ProgressBar
    from chainrule.training.callbacks import TimeLimit as TimeLimit
    from chainrule.training.checkpoint import Checkpoint as Checkpoint
    from chainrule.training.history import History as History
    from chainrule.training.loop import train as train
    from chainrule.training.optimizers import SGD as SGD
    from chainrule.training.optimizers import Adam as Adam
    from chainrule.training.optimizers import AdamW as AdamW
    from chainrule.training.optimizers import Optimizer as Optimizer
    from chainrule.training.optimizers import RMSProp as RMSProp

__version__ = "0.1.0"

ROOMS = {
    "data.tabular": ["TabularEncoder"],
    "nn.layers": [
        "Activation", "BatchNorm", "Bounded", "Dense", "Dropout", "Layer", "LayerNorm", "Residual", "Scale",
    ],
    "nn.losses": ["Loss"],
    "nn.network": ["Network", "mlp"],
    "nn.gradcheck": ["check_gradients"],
    "training.optimizers": ["SGD", "Adam", "AdamW", "Optimizer", "RMSProp"],
    "training.callbacks": ["Callback", "EarlyStopping", "KeepBest", "ProgressBar", "TimeLimit"],
    "training.checkpoint": ["Checkpoint"],
    "training.history": ["History"],
    "training.loop": ["train"],
    "insight.diagnosis": ["diagnose"],
    "insight.trace": ["Trace", "trace"],
    "model.predictor": ["Predictor"],
    "model.file": ["load", "save"],
    "estimators.mlp": ["MLPClassifier", "MLPRegressor"],
    "estimators.tabular": ["TabularClassifier", "TabularRegressor"],
}  # fmt: skip
HOMES = {name: room for room, names in ROOMS.items() for name in names}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    value = getattr(import_module(f"chainrule.{HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
