"""What the labels of a classifier must be."""

from sklearn.utils.multiclass import check_classification_targets

from chainrule.arrays import Array


def check_labels(y: Array) -> None:
    """Raise ValueError unless y holds classes, and such as have an order: None or a text beside numbers has none."""
    types = {str if isinstance(label, str) else type(label) for label in y.flat} if y.dtype == object else set()
    if len(types) > 1 and types & {str, type(None)}:
        told = ", ".join(sorted(kind.__name__ for kind in types))
        raise ValueError(f"y must hold labels of one type, got {told}")
    check_classification_targets(y)
