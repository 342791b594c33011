"""Sparse matrices as the training loop reads them."""

from typing import Any

from scipy.sparse import issparse

from chainrule.arrays import Array


class _SparseRows:
    """Rows of a sparse matrix that are made dense one batch at a time, with the array methods that training needs."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix.tocsr()
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> Array:
        return self.matrix[rows].toarray()

    def take(self, rows: Array, axis: int, out: Array, mode: str) -> Array:
        """Write the dense rows into `out`."""
        return self.matrix[rows].toarray(out=out)


def dense_by_batch(X: Any) -> Any:
    """Return a sparse matrix as `_SparseRows`, and an array unchanged."""
    return _SparseRows(X) if issparse(X) else X
