"""Memory: where the arrays of one batch leave theirs to those of the next."""

from contextlib import suppress
from functools import cache

import numpy as np

MOST = 2**25 - 2**16
"""Bytes of the largest block whose being freed the C library learns from: just below its 32 MB."""


@cache
def keep_freed_memory() -> None:
    """Have the C library keep, for the next batch, up to twice MOST of what the last one has freed.

    glibc returns a freed array to the system, and pays for every page when it asks for it again, which can take longer
    than the arithmetic; unless it has seen one as large be freed before (mallopt(3), M_MMAP_THRESHOLD). So one is made,
    of which no page is ever touched, and freed. Elsewhere that does nothing.
    """
    with suppress(MemoryError):
        np.empty(MOST, np.uint8)
