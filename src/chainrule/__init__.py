"""Feed-forward neural networks on NumPy alone: read them, check them, ship them.

Each name is loaded from its module when it is first used: importing chainrule takes no more time than importing NumPy,
a process that only predicts loads no training, and only the estimators load scikit-learn.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule import datasets as datasets
    from chainrule import distributed as distributed
    from chainrule import errors as errors
    from chainrule import export as export
    from chainrule import losses as losses
    from chainrule import metrics as metrics
    from chainrule import nn as nn
    from chainrule import schedules as schedules
    from chainrule import viz as viz
    from chainrule.data.tabular import TabularEncoder as TabularEncoder
    from chainrule.errors import ChainruleError as ChainruleError
    from chainrule.errors import ClusterError as ClusterError
    from chainrule.errors import DivergenceError as DivergenceError
    from chainrule.errors import GradientError as GradientError
    from chainrule.errors import MissingExtraError as MissingExtraError
    from chainrule.errors import ModelFileError as ModelFileError
    from chainrule.errors import OutOfRangeError as OutOfRangeError
    from chainrule.errors import TableError as TableError
    from chainrule.estimators.mlp import MLPClassifier as MLPClassifier
    from chainrule.estimators.mlp import MLPRegressor as MLPRegressor
    from chainrule.estimators.tabular import TabularClassifier as TabularClassifier
    from chainrule.estimators.tabular import TabularRegressor as TabularRegressor
    from chainrule.files.checkpoint import Checkpoint as Checkpoint
    from chainrule.files.model import load as load
    from chainrule.files.model import save as save
    from chainrule.insight.diagnosis import diagnose as diagnose
    from chainrule.insight.explanation import Explanation as Explanation
    from chainrule.insight.explanation import explain as explain
    from chainrule.insight.trace import Trace as Trace
    from chainrule.insight.trace import trace as trace
    from chainrule.model.embeddings import Lookup as Lookup
    from chainrule.model.embeddings import Periodic as Periodic
    from chainrule.model.embeddings import PiecewiseLinear as PiecewiseLinear
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
    from chainrule.nn.losses import AbsoluteError as AbsoluteError
    from chainrule.nn.losses import BinaryCrossEntropy as BinaryCrossEntropy
    from chainrule.nn.losses import CrossEntropy as CrossEntropy
    from chainrule.nn.losses import Huber as Huber
    from chainrule.nn.losses import Loss as Loss
    from chainrule.nn.losses import Poisson as Poisson
    from chainrule.nn.losses import Quantile as Quantile
    from chainrule.nn.losses import SquaredError as SquaredError
    from chainrule.nn.network import Network as Network
    from chainrule.nn.network import mlp as mlp
    from chainrule.training.batches import batches as batches
    from chainrule.training.callbacks import Callback as Callback
    from chainrule.training.callbacks import EarlyStopping as EarlyStopping
    from chainrule.training.callbacks import KeepBest as KeepBest
    from chainrule.training.callbacks import ProgressBar as ProgressBar
    from chainrule.training.callbacks import TimeLimit as TimeLimit
    from chainrule.training.history import History as History
    from chainrule.training.loop import train as train
    from chainrule.training.optimizers import SGD as SGD
    from chainrule.training.optimizers import Adam as Adam
    from chainrule.training.optimizers import AdamW as AdamW
    from chainrule.training.optimizers import Optimizer as Optimizer
    from chainrule.training.optimizers import RMSProp as RMSProp
    from chainrule.training.schedules import Constant as Constant
    from chainrule.training.schedules import Cosine as Cosine
    from chainrule.training.schedules import CosLog4 as CosLog4
    from chainrule.training.schedules import Exponential as Exponential
    from chainrule.training.schedules import InverseScaling as InverseScaling
    from chainrule.training.schedules import OneCycle as OneCycle
    from chainrule.training.schedules import ReduceOnPlateau as ReduceOnPlateau
    from chainrule.training.schedules import Schedule as Schedule
    from chainrule.training.schedules import Step as Step

__version__ = "0.1.0"

_EXPORTS = {
    "data.tabular": ["TabularEncoder"],
    "errors": [
        "ChainruleError", "ClusterError", "DivergenceError", "GradientError", "MissingExtraError", "ModelFileError",
        "OutOfRangeError", "TableError",
    ],
    "estimators.mlp": ["MLPClassifier", "MLPRegressor"],
    "estimators.tabular": ["TabularClassifier", "TabularRegressor"],
    "insight.diagnosis": ["diagnose"],
    "insight.explanation": ["Explanation", "explain"],
    "insight.trace": ["Trace", "trace"],
    "files.model": ["load", "save"],
    "model.predictor": ["Predictor"],
    "model.embeddings": ["Lookup", "Periodic", "PiecewiseLinear"],
    "nn.gradcheck": ["check_gradients"],
    "nn.layers": [
        "Activation", "BatchNorm", "Bounded", "Dense", "Dropout", "Layer", "LayerNorm", "Residual", "Scale",
    ],
    "nn.losses": [
        "AbsoluteError", "BinaryCrossEntropy", "CrossEntropy", "Huber", "Loss", "Poisson", "Quantile", "SquaredError",
    ],
    "nn.network": ["Network", "mlp"],
    "training.batches": ["batches"],
    "training.callbacks": ["Callback", "EarlyStopping", "KeepBest", "ProgressBar", "TimeLimit"],
    "files.checkpoint": ["Checkpoint"],
    "training.history": ["History"],
    "training.loop": ["train"],
    "training.optimizers": ["SGD", "Adam", "AdamW", "Optimizer", "RMSProp"],
    "training.schedules": [
        "Constant", "CosLog4", "Cosine", "Exponential", "InverseScaling", "OneCycle", "ReduceOnPlateau", "Schedule",
        "Step",
    ],
}  # fmt: skip
_NAMESPACES = ["datasets", "distributed", "errors", "export", "losses", "metrics", "nn", "schedules", "viz"]
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}
__all__ = sorted([*_MODULE_OF, *_NAMESPACES])


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        value: Any = _import_module(f"chainrule.{name}")
    elif name in _MODULE_OF:
        value = getattr(_import_module(f"chainrule.{_MODULE_OF[name]}"), name)
    else:
        from chainrule.deprecation import RENAMED, deprecated

        if name in RENAMED:
            new, since = RENAMED[name]
            deprecated(f"chainrule.{name}", f"Use chainrule.{new}", since)
            return globals().get(new) or __getattr__(new)
        from chainrule.errors import did_you_mean

        raise AttributeError(f"module 'chainrule' has no attribute {name!r}{did_you_mean(name, __all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
