"""A predictor: encoder, networks and target in one, from a table's rows to answers in the user's own words."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Self

import numpy as np

from chainrule.arrays import Array, require
from chainrule.data.reading import open_columns
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import MissingExtraError
from chainrule.model.ensemble import Ensemble
from chainrule.nn.network import Network


class Predictor:
    """Answers for rows of a table, with all that this takes: NumPy alone, and no training code.

    Parameters
    ----------
    encoder : TabularEncoder
        Fitted.
    network : Network or Ensemble
        With the encoder's columns as inputs and the target's number of outputs. As attribute it is `ensemble`: a
        network is an ensemble of one.
    target : ClassTarget or NumberTarget
        Turns outputs into labels, or into numbers of the target's own unit.
    metadata : dict, optional
        What a reader of the file may want to know, as plain texts, numbers, lists and dicts: seed, scores, date.

    Raises
    ------
    ValueError
        When the three do not fit together.

    Examples
    --------
    >>> from chainrule import Adam, mlp, train
    >>> from chainrule.data.reading import read_columns
    >>> from chainrule.data.targets import fit_target
    >>> table = read_columns({"height": [1.1, 1.2, 1.8, 1.9], "who": ["child", "child", "adult", "adult"]})
    >>> who = table.pop("who")
    >>> encoder, target = TabularEncoder().fit(table), fit_target("who", who)
    >>> network = mlp(1, 8, 2, loss=target.loss, seed=0)
    >>> history = train(network, encoder.transform(table), target.encode(who), optimizer=Adam(0.05))
    >>> Predictor(encoder, network, target).predict([{"height": 1.0}, {"height": 1.95}])
    array(['child', 'adult'], dtype='<U5')
    """

    def __init__(
        self,
        encoder: TabularEncoder,
        network: Network | Ensemble,
        target: ClassTarget | NumberTarget,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        require(
            network.n_in == encoder.n_features, "network", f"take {encoder.n_features} encoded columns", network.n_in
        )
        require(network.n_out == target.n_outputs, "network", f"give {target.n_outputs} outputs", network.n_out)
        self.encoder = encoder
        self.ensemble = Ensemble((network,)) if isinstance(network, Network) else network
        self.target = target
        self.metadata = {} if metadata is None else metadata
        self._answering = self.ensemble

    def predict(self, table: object) -> Array:
        """Return a label (n,), of the type it had in training, or a number in the target's unit, for each row."""
        return self.target.decode(self.predictions(table))

    def predict_proba(self, table: object) -> Array:
        """Return the probability (n, K) of each of `classes`; ValueError for a model that answers numbers."""
        require(isinstance(self.target, ClassTarget), "predict_proba", "be asked of a classifier", self.target.task)
        return self.predictions(table)

    def predict_interval(self, table: object, coverage: float = 0.9) -> Array:
        """Return the ends (n, 2) of an interval that holds the true number of `coverage` of new rows.

        Split conformal prediction (Lei et al. 2018, algorithm 2), from rows that training never saw: right on average
        over rows as long as new ones are like the old ones. For several targets a row, (n, n_outputs, 2). ValueError
        for a classifier, and for a model that was not calibrated.
        """
        return self.shifted(table, self.ensemble.shifts(coverage))

    def predict_quantiles(self, table: object, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> Array:
        """Return the numbers (n, k) below which the true number lies in each of k shares of new rows.

        From the same rows as `predict_interval`, and right on average in the same way. For several targets a row,
        (n, n_outputs, k). ValueError for a classifier, and for a model that was not calibrated.
        """
        require(not isinstance(quantiles, float), "quantiles", "be several, such as (0.1, 0.5, 0.9)", quantiles)
        return self.shifted(table, [self.ensemble.shift(quantile) for quantile in quantiles])

    def shifted(self, table: object, shifts: Sequence[Array]) -> Array:
        """Return the answers to a table, moved by each of the shifts, in the target's unit."""
        predictions = self.predictions(table)
        return np.stack([self.target.decode(predictions + shift) for shift in shifts], axis=-1)

    @property
    def classes(self) -> Array:
        """The labels, in the order of `predict_proba`'s columns; only a classifier has them."""
        if not isinstance(self.target, ClassTarget):
            raise AttributeError("classes: only a classifier has them, and this model answers numbers")
        return self.target.classes

    def predictions(self, table: object, first_row: int = 0) -> Array:
        """Return the networks' answers (n, n_outputs) for a table; errors count its rows from `first_row` + 1."""
        given = open_columns(table)
        X = self.encoder.layout.as_given(given)  # whether it is finite the networks see
        if X is None:
            X = self.encoder.transform(given, first_row)
        return self._answering.infer(X.astype(self.ensemble.dtype, copy=False))

    def compile(self) -> Self:
        """Answer by compiled kernels from now on, the same to float32 rounding; return the predictor itself.

        For those who ask often and a row at a time, which takes half to seven tenths of the time; thousands of rows
        gain little. Once a process, loading numba (extra `fast`) takes half a second; once a machine, compiling takes
        a few. Files and pickles of it are as before.

        Raises
        ------
        MissingExtraError
            Where numba is not installed.
        """
        try:
            from chainrule.training.fused import FusedNetwork
        except ImportError as error:
            raise MissingExtraError("Predictor.compile", "fast") from error
        networks = tuple(FusedNetwork(network) for network in self.ensemble.networks)
        self._answering = replace(self.ensemble, networks=networks)
        for n_rows in (1, 2):  # a row alone is answered in another way
            self._answering.infer(np.zeros((n_rows, self.ensemble.n_in), self.ensemble.dtype))
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file, which `chainrule.load` reads; see `chainrule.model.file`."""
        from chainrule.model.file import save

        save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Whether numba is where it will be read, nobody knows."""
        return self.__dict__ | {"_answering": self.ensemble}

    def __repr__(self) -> str:
        return f"Predictor({self.target.task} of {self.target.name!r} from {len(self.encoder.columns)} columns)"
