"""The schedules, under the name by which users import them; `chainrule.training.schedules` defines them."""

from chainrule.training.schedules import SCHEDULES as SCHEDULES
from chainrule.training.schedules import Constant as Constant
from chainrule.training.schedules import Cosine as Cosine
from chainrule.training.schedules import CosLog4 as CosLog4
from chainrule.training.schedules import Exponential as Exponential
from chainrule.training.schedules import InverseScaling as InverseScaling
from chainrule.training.schedules import OneCycle as OneCycle
from chainrule.training.schedules import ReduceOnPlateau as ReduceOnPlateau
from chainrule.training.schedules import Schedule as Schedule
from chainrule.training.schedules import Step as Step
