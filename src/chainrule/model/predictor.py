"""A predictor: encoder, networks and target in one object, from a table's rows to labels or numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from chainrule.arrays import Array, require
from chainrule.data.cells import missing_rows
from chainrule.data.parts import parts_of
from chainrule.data.reading import open_columns, read_columns, take_rows
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget, learn_target
from chainrule.display import Shown
from chainrule.errors import MissingExtraError, TableError, did_you_mean
from chainrule.model.background import background_rows
from chainrule.model.ensemble import Ensemble
from chainrule.model.quantiles import Distribution
from chainrule.nn.network import Network, mlp

if TYPE_CHECKING:
    from chainrule import Explanation


class Predictor(Shown):
    """A trained model for tables: everything needed to predict, and nothing but NumPy required.

    Parameters
    ----------
    encoder : TabularEncoder
        A fitted encoder.
    network : Network or Ensemble
        Takes the encoder's columns and has the target's number of outputs. Stored as the attribute `ensemble`; a single
        network becomes an ensemble of one.
    target : ClassTarget or NumberTarget
        Decodes outputs into labels, or into numbers in the target's own unit.
    metadata : dict, optional
        Information for readers of the model file, as plain strings, numbers, lists and dicts: seed, scores, date.
    background : (n, n_features), optional
        Encoded training rows, with which `explain` compares. They are part of the model file: set the attribute to None
        to save a model without them.

    Raises
    ------
    ValueError
        If the three do not fit together.

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
        background: Array | None = None,
    ) -> None:
        ensemble = Ensemble((network,)) if isinstance(network, Network) else network
        inputs = f"have {encoder.n_features} inputs, one per encoded column"
        require(ensemble.n_in == encoder.n_features, "network", inputs, ensemble.n_in)
        outputs = f"have {target.n_outputs} outputs, as the target needs"
        require(ensemble.n_out == target.n_outputs, "network", outputs, ensemble.n_out)
        if background is not None:
            shaped = background.ndim == 2 and len(background) > 0 and background.shape[1] == encoder.n_features
            require(shaped, "background", f"have shape (n, {encoder.n_features}) with n >= 1", background.shape)
        self.encoder = encoder
        self.ensemble = ensemble
        self.target = target
        self.metadata = {} if metadata is None else metadata
        self.background = background
        self._inference = self.ensemble

    @classmethod
    def fit(
        cls,
        table: object,
        target: str,
        *,
        network: Network | Sequence[int] | Callable[[int, int], Network] = (32,),
        max_memory: int | None = None,
        **options: Any,
    ) -> Self:
        """Train one network on a table that includes its target, and return the predictor.

        The target is read as by the command line: rows in which it is missing are not used, numbers such as $12.50 are
        numbers, and a warning reports what is unusual. The notices are stored in the metadata.

        For an ensemble with calibrated probabilities or intervals use `chainrule.TabularClassifier` or
        `TabularRegressor`, whose attribute `predictor_` is a Predictor.

        Parameters
        ----------
        table : dict of columns, list of dicts, DataFrame or path
            A path, a polars LazyFrame or a pyarrow Dataset is read in parts, as by `chainrule.TabularClassifier.fit`.
        target : str
            The name of the column to predict.
        network : sequence of int, function or Network
            Units of each hidden layer of a relu network; or `(n_in, n_out) -> Network`; or a Network of that size.
        max_memory : int, optional
            Bytes of memory for a table that is read in parts; default: half of what is free.
        **options
            As for `chainrule.train`: optimizer, epochs, callbacks, seed, ... For a table that is read in parts,
            sample_weight is the name of a column, which is no input.

        Raises
        ------
        TableError
            If the table has no such column, or the target cannot be learned.

        Examples
        --------
        >>> from chainrule import Adam
        >>> table = {"height": [1.1, 1.2, 1.8, 1.9], "who": ["child", "child", "adult", "adult"]}
        >>> model = Predictor.fit(table, target="who", network=(8,), optimizer=Adam(0.05), epochs=200, seed=0)
        >>> model.predict([{"height": 1.0}, {"height": 1.95}])
        array(['child', 'adult'], dtype='<U5')
        """
        # A process that only predicts loads no training.
        from chainrule.model.larger import Larger, available_memory, training_rows
        from chainrule.training.loop import train

        parts = parts_of(table)
        weight = None if parts is None else options.pop("sample_weight", None)
        larger = None if parts is None else Larger(parts, target, max_memory or available_memory(), weight=weight)
        columns = dict(read_columns(table) if larger is None else larger.survey.sample)
        if target not in columns:
            raise TableError(f"column {target!r} is missing from the table{did_you_mean(target, columns)}")
        learned, values, notices = learn_target(target, columns.pop(target))
        known = ~missing_rows(target, values)
        columns, values = take_rows(columns, known), values[known]
        if larger is not None and weight is not None:
            options["sample_weight"] = larger.weights(columns)
            del columns[weight]
        for notice in notices:
            warnings.warn(notice, UserWarning, stacklevel=2)
        encoder = TabularEncoder()
        encoder = encoder.fit(columns) if larger is None else larger.fit(encoder, columns)
        n_in, n_out = encoder.n_features, learned.n_outputs
        if not isinstance(network, Network):
            seed = options.get("seed")
            network = (
                network(n_in, n_out) if callable(network) else mlp(n_in, *network, n_out, loss=learned.loss, seed=seed)
            )
        metadata = {"notices": notices + encoder.notices}
        X, y = encoder.transform(columns), learned.encode(values)
        predictor = cls(encoder, network, learned, metadata, background_rows(X, y))  # checks sizes before training
        if larger is not None:
            options["more"] = training_rows(larger.rest(encoder, learned), learned)
        train(network, X, y, **options)
        return predictor

    def predict(self, table: object) -> Array:
        """Return a label (n,), of the type it had in training, or a number in the target's unit, for each row."""
        return self.target.decode(self.predictions(table))

    def predict_proba(self, table: object) -> Array:
        """Return the probability (n, K) of each of `classes`; ValueError for a regression model."""
        if not isinstance(self.target, ClassTarget):
            raise ValueError(f"predict_proba is only available for classifiers, got a {self.target.task} model")
        return self.predictions(table)

    def predict_interval(self, table: object, coverage: float = 0.9) -> Array:
        """Return the ends (n, 2) of a prediction interval that contains the target of a new row with that probability.

        The interval of a row lies between two quantiles that the networks predict for it, calibrated on held-out rows:
        the coverage holds on average over rows, provided that new rows follow the distribution of the old ones.
        (n, n_outputs, 2) for several outputs. Raises ValueError for a classifier, and for a model that was not
        calibrated.
        """
        return self._at(table, self.ensemble.ends(coverage))

    def predict_quantiles(self, table: object, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> Array:
        """Return k quantiles (n, k) of each row's target.

        Calibrated on the same held-out rows as `predict_interval`, and valid on average in the same sense.
        (n, n_outputs, k) for several outputs. Raises ValueError for a classifier, and for a model that was not
        calibrated.
        """
        require(not isinstance(quantiles, float), "quantiles", "be a sequence such as (0.1, 0.5, 0.9)", quantiles)
        return self._at(table, [self.ensemble.score(quantile) for quantile in quantiles])

    def _at(self, table: object, scores: Sequence[Array]) -> Array:
        """Return the values of a table's distributions at the scores, each (n_outputs,), in the target's unit."""
        distribution = self.distribution(table)
        return np.stack([self.decode_end(distribution.at(score)) for score in scores], axis=-1)

    def decode_end(self, values: Array) -> Array:
        """Return the ends of intervals (n, n_outputs) in the target's unit: 0 if they lie beyond it and no target does.

        A price that was above 0 in all training rows has no interval that begins below 0.
        """
        decoded = self.target.decode(values)
        if self.ensemble.bounds is None:
            return decoded
        least, most = self.target.decode(self.ensemble.bounds)
        rounding = 1e-9 * (most - least)
        zeros = np.where(least >= -rounding, 0.0, -np.inf), np.where(most <= rounding, 0.0, np.inf)
        return np.clip(decoded, *zeros)

    def predict_set(self, table: object, coverage: float = 0.9, by_class: bool = False) -> list[list[Any]]:
        """Return for each row the classes that are plausible, the most probable first: the true one is among them.

        It is so in a fraction `coverage` of new rows, or with `by_class` of the new rows of each class, so that a rare
        class is not missed for the sake of the others. Conformal prediction on held-out rows: the coverage holds on
        average over rows (of the class), provided that new rows follow the distribution of the old ones. A set is never
        empty, which makes the coverage at least the accuracy. Raises ValueError for a regression model, and for a model
        that was not calibrated.
        """
        return self.sets_of(self.predictions(table), coverage, by_class)

    def sets_of(self, P: Array, coverage: float, by_class: bool = False) -> list[list[Any]]:
        """Return the prediction sets of rows with probabilities P (n, K)."""
        contained = self.ensemble.sets(P, coverage, by_class)
        order = np.argsort(-P, axis=1, kind="stable")
        return [self.classes[ks[row[ks]]].tolist() for ks, row in zip(order, contained)]

    @property
    def classes(self) -> Array:
        """The labels, in the order of `predict_proba`'s columns; only classifiers have them."""
        if not isinstance(self.target, ClassTarget):
            raise AttributeError("a regression model has no classes")
        return self.target.classes

    def predictions(self, table: object, first_row: int = 0) -> Array:
        """Return the raw predictions (n, n_outputs) for a table; error messages count rows from `first_row` + 1."""
        return self._inference.infer(self._encoded(table, first_row))

    def distribution(self, table: object, first_row: int = 0) -> Distribution:
        """Return the distributions predicted for a table, as the target encodes it, whose means are `predictions`."""
        return self._inference.distribution(self._encoded(table, first_row))

    def _encoded(self, table: object, first_row: int) -> Array:
        """Return a table as the networks take it; they check whether it is finite."""
        columns = open_columns(table)
        X = self.encoder.layout.as_given(columns)
        if X is None:
            X = self.encoder.encode(columns, first_row)
        return X.astype(self.ensemble.dtype, copy=False)

    def explain(
        self,
        table: object,
        *,
        background: object = None,
        permutations: int | None = None,
        seed: int = 0,
        progress: Callable[[float], object] | None = None,
    ) -> Explanation:
        """Return the contribution of each column to each prediction; see `chainrule.explain`."""
        from chainrule import explain

        return explain(self, table, background=background, permutations=permutations, seed=seed, progress=progress)

    def compile(self) -> Self:
        """Switch to compiled kernels, with the same results up to float32 rounding; return the predictor itself.

        Intended for many calls with a single row of a model with one network, which take between half and nine tenths
        of the time; thousands of rows at once gain little. The networks of an ensemble stay as they are: they are
        computed together, which is as fast. Loading numba (extra `fast`) takes half a second once per process, and
        compiling a few seconds once per machine. Files and pickles are not affected.

        Raises
        ------
        MissingExtraError
            If numba is not installed.
        """
        try:
            from chainrule.model.compiled import CompiledNetwork
        except ImportError as error:
            raise MissingExtraError("Predictor.compile", "fast") from error
        if len(self.ensemble.networks) == 1:
            self._inference = replace(self.ensemble, networks=(CompiledNetwork(self.ensemble.networks[0]),))
        for n_rows in (1, 2):  # a single row has a kernel of its own
            self._inference.infer(np.zeros((n_rows, self.ensemble.n_in), self.ensemble.dtype))
        return self

    def distil(
        self,
        table: object = None,
        *,
        sizes: Sequence[int] | None = None,
        max_loss: float | None = None,
        max_bytes: int | None = None,
        intervals: bool = False,
        epochs: int = 60,
        seed: int = 0,
    ) -> Self:
        """Return a predictor with one small network that has learned to predict what this one does.

        Its loss is the root mean square of the differences from this predictor, of probabilities or in standard
        deviations of the target, on rows that it was not taught. The entry "distillation" of its metadata contains it,
        and exports state it. The new predictor was not calibrated: it has no prediction intervals or sets, unless it
        learns those of this one.

        Parameters
        ----------
        table : table, optional
            Rows to learn from; the target is not needed. Default: rows drawn from what the model knows of its columns.
        sizes : sequence of int, optional
            Units of each hidden layer. Default: (16, 16).
        max_loss : float, optional
            Instead of `sizes`: try larger and larger networks until the loss is at most this.
        max_bytes : int, optional
            Instead of `sizes`, or with `max_loss`: use no network whose weights, of 4 bytes, need more. Without
            `max_loss`, the largest one is used.
        intervals : bool
            Learn the quantiles too, with which prediction intervals, and sets, are approximately those of this model.
        epochs, seed : int

        Raises
        ------
        ValueError
            If the model has no intervals to learn, or if no network is small or accurate enough; the message then has
            the best one.
        """
        from chainrule.model.distillation import distil  # a process that only predicts loads no training

        options: dict[str, Any] = {"max_loss": max_loss, "max_bytes": max_bytes, "intervals": intervals}
        return distil(self, table, sizes=sizes, epochs=epochs, seed=seed, **options)  # type: ignore[return-value]

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file, which `chainrule.load` reads; see `chainrule.files.model`."""
        from chainrule import save

        save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Compiled kernels are not pickled: numba may be missing where the pickle is read."""
        return self.__dict__ | {"_inference": self.ensemble}

    def __repr__(self) -> str:
        return f"Predictor({self.target.task} of {self.target.name!r} from {len(self.encoder.columns)} columns)"
