"""Estimators for scikit-learn: its own interface, on this library's engine."""

from chainrule.errors import MissingExtraError

try:
    import sklearn.callback  # noqa: F401
except ImportError:
    raise MissingExtraError("the estimators need scikit-learn 1.9 or newer; this", "sklearn") from None
