"""Estimators with scikit-learn's interface, trained by this library's engine."""

from chainrule.errors import MissingExtraError

try:
    import sklearn.callback  # noqa: F401
except ImportError:
    raise MissingExtraError("an estimator (scikit-learn 1.9 or newer)", "sklearn") from None
