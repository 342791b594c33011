"""Checks of a classifier's labels."""

from sklearn.utils.multiclass import check_classification_targets

from chainrule.arrays import Array


def check_labels(y: Array) -> None:
    """Raise ValueError unless y holds class labels that can be sorted, which None or text beside numbers cannot be."""
    types = {str if isinstance(label, str) else type(label) for label in y.flat} if y.dtype == object else set()
    if len(types) > 1 and types & {str, type(None)}:
        names = ", ".join(sorted(kind.__name__ for kind in types))
        raise ValueError(f"y must hold labels of one type, got {names}")
    check_classification_targets(y)
