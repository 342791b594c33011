"""Training compiled by numba (extra `fast`): the same results up to rounding, sooner.

`training.kernels` loads this package when that pays; nothing else in `training` knows of it. Importing it takes half a
second. Compiled code is cached on disk, beside these files or in numba's own cache directory.
"""

from chainrule.compiled.epochs import train_epoch
from chainrule.compiled.fused import square_sum, update
from chainrule.compiled.small import fuse
from chainrule.training.kernels import Kernels

NUMBA = Kernels("numba", update, square_sum, fuse, train_epoch)
