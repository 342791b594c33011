"""scikit-learn's own tests of its MLP, from the installed package, run on `MLPClassifier` and `MLPRegressor`."""

import importlib.util
from unittest import mock

import pytest

from chainrule.estimators.mlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore")

PRIVATE = {
    "test_fit": "sets coefs_ and private attributes by hand before the first fit, and reads _coef_grads",
    "test_gradient": "calls _loss_grad_lbfgs; our gradients are tested with check_gradients",
}


def their_tests():
    """Execute scikit-learn's test module with our classes in place of its own, and return its tests."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    module = importlib.util.module_from_spec(spec)
    with mock.patch.multiple("sklearn.neural_network", MLPClassifier=MLPClassifier, MLPRegressor=MLPRegressor):
        spec.loader.exec_module(module)
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


@pytest.fixture
def global_random_seed():
    return 42


globals().update({name: test for name, test in their_tests().items() if name not in PRIVATE})


def test_only_tests_of_private_members_are_left_out():
    assert PRIVATE.keys() <= their_tests().keys()
    assert len(their_tests()) - len(PRIVATE) > 40
