"""The losses, under the name by which users import them; `chainrule.nn.losses` defines them."""

from chainrule.nn.losses import LOSSES as LOSSES
from chainrule.nn.losses import AbsoluteError as AbsoluteError
from chainrule.nn.losses import BinaryCrossEntropy as BinaryCrossEntropy
from chainrule.nn.losses import CrossEntropy as CrossEntropy
from chainrule.nn.losses import Huber as Huber
from chainrule.nn.losses import Loss as Loss
from chainrule.nn.losses import Poisson as Poisson
from chainrule.nn.losses import Quantile as Quantile
from chainrule.nn.losses import SquaredError as SquaredError
