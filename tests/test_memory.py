"""The arrays of a batch are made of memory that the process has already."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from chainrule import mlp, train
from chainrule.training import loop
if {forgetful}:
    loop.keep_freed_memory = lambda: None
X = np.zeros((2560, 20), np.float32)
net = mlp(20, 256, 256, 2, activation="mish", loss="cross_entropy", seed=0)
train(net, X, np.zeros(2560, int), epochs=1, batch_size=256)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
train(net, X, np.zeros(2560, int), epochs=10, batch_size=256)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 100)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory by rules of their own")
def test_no_batch_asks_the_system_for_memory_again():
    def faults_a_batch(forgetful):
        code = [sys.executable, "-c", FAULTS.format(forgetful=forgetful)]
        return float(subprocess.run(code, capture_output=True, text=True, check=True).stdout)

    kept, returned = faults_a_batch(forgetful=False), faults_a_batch(forgetful=True)
    assert kept < 30
    assert returned > 10 * kept, "the C library no longer needs to be told"
