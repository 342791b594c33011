"""The private names of scikit-learn that the estimators use.

Tested with scikit-learn 1.9.0 and 1.9.1. They may move without a deprecation: for a new version, adapt this module and
run `tests/test_sklearn_mlp.py`, which executes scikit-learn's own tests.
"""

from sklearn.base import _fit_context as fit_context
from sklearn.neural_network import MLPClassifier
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _check_y as check_y

MLP_PARAMETER_CONSTRAINTS = MLPClassifier._parameter_constraints

__all__ = ["MLP_PARAMETER_CONSTRAINTS", "Interval", "StrOptions", "check_sample_weight", "check_y", "fit_context"]
