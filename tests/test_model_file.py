import json
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from functools import partial
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule
from chainrule import Activation, BatchNorm, Bounded, Dense, Dropout, LayerNorm, Network, Residual, Scale, mlp, train
from chainrule.data.reading import read_columns
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import fit_target
from chainrule.errors import ModelFileError
from chainrule.files.archive import with_checksum
from chainrule.files.model import FORMAT, load, pack, save
from chainrule.model.embeddings import LAYERS, Lookup, Periodic, PiecewiseLinear, Select, Unclip
from chainrule.model.ensemble import Ensemble
from chainrule.model.fitting import fit_predictor
from chainrule.model.neighbors import Log, Softmax
from chainrule.model.predictor import Predictor
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.layers import Layer
from chainrule.nn.losses import LOSSES, CrossEntropy, Huber, Quantile
from fuzz_model_file import GOLDEN, edit_header, edit_text, fuzz, predict, put_together, take_apart

EVERY_LAYER = [
    Lookup(4, (2,), (3,), n_out=1, rate=0.1),
    Unclip(),
    PiecewiseLinear(4, (3, 1), ((-1.5, 0, 0.25), (-2, 2))),
    Periodic(7, (0, 2), n_waves=3, n_out=2, sigma=0.5),
    Lookup(11, (9,), (3,)),
    Select(14, tuple(range(13, -1, -1))),
    Dense(14, 6, "he_normal", "uniform"),
    BatchNorm(6, decay=0.5),
    Activation("relu"),
    Residual([Dense(6, 6), BatchNorm(6), Activation("mish"), Residual([Dense(6, 6)])]),
    Dropout(0.25),
    LayerNorm(6),
    Scale(6),
    Bounded(-2, 2.5),
    Softmax(),
    Log(),
    Dense(6, 3),
]


def every_layer(dtype="float32"):
    net = Network(EVERY_LAYER, CrossEntropy(0.1), l1=1e-4, l2=1e-3, seed=0, dtype=dtype)
    X = np.random.default_rng(1).normal(size=(40, 4))
    train(net, X, np.arange(40) % 3, epochs=3, batch_size=8, seed=0)
    return net


def a_predictor(metadata=None):
    table = {"a": [1.0, 2.0, None, 4.0], "b": ["x", "y", "é 日本", "x"]}
    encoder, target = TabularEncoder().fit(table), fit_target("y", np.array(["no", "yes", "yes", "no"]))
    return Predictor(encoder, mlp(encoder.n_features, 5, 2, loss=target.loss, seed=0), target, metadata)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.chainrule"


@pytest.fixture
def saved(path):
    """A predictor's file."""
    save(a_predictor({"seed": 3, "scores": {"accuracy": 0.5}}), path)
    return path


def change_document(path, change):
    header, document, data = take_apart(path.read_bytes())
    change(document)
    path.write_bytes(put_together(header, document, data))


def change_header(path, change):
    """Change the description of the arrays."""
    header, document, data = take_apart(path.read_bytes())
    change(header)
    path.write_bytes(put_together(header, document, data))


def change_text(path, change):
    """Change the text of the header."""
    content = path.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(put_together(change(content[8:length]), None, content[length:]))


# Round trips.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_of_every_layer_is_restored_exactly(dtype, path, rng):
    net = every_layer(dtype)
    assert {type(layer).__name__ for layer in net.layers} == set(LAYERS)
    save(net, path)
    back = load(path)
    np.testing.assert_array_equal(back.theta, net.theta)
    np.testing.assert_array_equal(back.buffers, net.buffers)
    assert (back.layers, back.loss, back.l1, back.l2, back.dtype) == (net.layers, net.loss, net.l1, net.l2, net.dtype)
    X = rng.normal(size=(7, 4))
    np.testing.assert_array_equal(back(X), net(X))


@pytest.mark.parametrize("loss", [*LOSSES, Huber(0.25), Quantile((0.1, 0.9))], ids=str)
def test_every_loss_is_restored(loss, path):
    net = mlp(3, 2, loss=loss, seed=0)
    save(net, path)
    assert load(path).loss == net.loss


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_restored(activation, path):
    save(mlp(3, 4, 2, activation=activation, seed=0), path)
    assert load(path).layers[1] == Activation(activation)


def test_a_loaded_network_can_be_trained_further(path, rng):
    X, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    net = every_layer()
    save(net, path)
    back = load(path)
    assert train(back, X, y, epochs=2, seed=0).loss == train(net, X, y, epochs=2, seed=0).loss
    np.testing.assert_array_equal(back.theta, net.theta)


def test_a_predictor_is_restored_completely(path):
    model = a_predictor({"seed": 3, "scores": {"accuracy": 0.5}, "note": "é"})
    model.save(path)
    back = load(path)
    table = [{"b": "é 日本", "a": "2"}, {"a": None, "b": "new"}]
    np.testing.assert_array_equal(back.predict_proba(table), model.predict_proba(table))
    assert back.metadata == model.metadata
    assert back.target == model.target
    assert back.encoder.state() == model.encoder.state()


def test_the_safetensors_package_reads_the_parameters(saved):
    from safetensors import safe_open

    with safe_open(saved, "numpy") as file:
        assert list(file.keys()) == ["families.0.buffers", "families.0.theta"]
        np.testing.assert_array_equal(file.get_tensor("families.0.theta"), [a_predictor().ensemble.networks[0].theta])
        assert json.loads(file.metadata()["document"])["kind"] == "predictor"


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    save(load(saved), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_the_file_of_a_network_is_hardly_larger_than_its_parameters(path):
    net = mlp(784, 128, 10, seed=0)
    save(net, path)
    assert path.stat().st_size <= net.theta.nbytes + 4_000


@pytest.mark.parametrize("n_columns", [20, 300])
@pytest.mark.parametrize(("labels", "overhead", "per_column"), [(["a", "b", "c"], 21_000, 160), (None, 11_000, 360)])
def test_the_file_of_a_table_is_hardly_larger_than_its_parameters(n_columns, labels, overhead, per_column, path, rng):
    table = read_columns({f"x{j}": rng.normal(size=60) for j in range(n_columns)})
    values = np.abs(table["x0"]) if labels is None else np.array(labels)[rng.integers(3, size=60)]
    model = fit_predictor(table, values, fit_target("y", values), epochs=4).predictor
    model.save(path)
    networks = model.ensemble.networks
    parameters = sum(network.theta.size for network in networks)
    pieces = {layer for network in networks for layer in network.layers if isinstance(layer, PiecewiseLinear)}
    n_edges = sum(len(edges) for layer in pieces for edges in layer.edges)
    assert model.background.size <= 64 * model.encoder.n_features
    numbers = parameters + model.background.size
    assert path.stat().st_size <= 4 * numbers + overhead + per_column * n_columns + 10 * n_edges
    if parameters > 10_000:  # linear networks, which may fit best, have few
        assert path.stat().st_size <= 1.05 * 4 * numbers


def test_networks_of_different_layers_are_restored_in_their_order(path, rng):
    encoder, target = a_predictor().encoder, a_predictor().target
    n = encoder.n_features
    embedded = [PiecewiseLinear(n, (0,), ((-1, 0.5, 1),)), Dense(n + 2, 2)]
    networks = [
        mlp(n, 5, 2, loss=target.loss, seed=0),
        mlp(n, 5, 2, loss=target.loss, seed=1),
        Network(embedded, target.loss, seed=2),
        mlp(n, 5, 2, loss=target.loss, seed=3),
    ]
    ensemble = Ensemble(tuple(networks), (0.1, 0.2, 0.3, 0.4), temperature=2.0, smoothing=0.25)
    save(Predictor(encoder, ensemble, target), path)
    assert len(take_apart(path.read_bytes())[1]["families"]) == 3
    back = load(path).ensemble
    assert (back.weights, back.temperature, back.smoothing) == (ensemble.weights, 2.0, 0.25)
    for restored, network in zip(back.networks, networks, strict=True):
        assert restored.layers == network.layers
        np.testing.assert_array_equal(restored.theta, network.theta)
    X = rng.normal(size=(6, n))
    np.testing.assert_array_equal(back.predict(X), ensemble.predict(X))


def test_the_metadata_describe_the_training(rng):
    table = read_columns({"x": rng.normal(size=100), "color": ["red", "blue"] * 50, "same": [1] * 100})
    values = np.array(["yes", "no"] * 50)

    def metadata_of(values, **options):
        target = fit_target("y", values)
        return fit_predictor(table, values, target, n_folds=2, epochs=1, **options).predictor.metadata

    metadata = metadata_of(values)
    assert (metadata["chainrule"], metadata["numpy"]) == (chainrule.__version__, np.__version__)
    assert (metadata["seed"], metadata["target"], metadata["task"]) == (0, "y", "classification")
    assert metadata["columns"] == [
        {"name": "x", "kind": "number"},
        {"name": "color", "kind": "category"},
        {"name": "same", "kind": "left out"},
    ]
    assert metadata["data"] == metadata_of(values, seed=1)["data"]
    assert metadata["data"] != metadata_of(values[::-1])["data"]
    assert metadata["data"] != metadata_of(values, weight=np.ones(100))["data"]


# Files of every released version.


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.chainrule")), ids=lambda path: path.stem)
def test_a_golden_file_predicts_the_same_as_ever(path):
    np.testing.assert_allclose(predict(load(path)), json.loads(path.with_suffix(".json").read_text()), rtol=1e-5)


@pytest.mark.parametrize("version", range(1, FORMAT.version + 1))
def test_a_golden_regressor_has_the_same_intervals_as_ever(version):
    expected = json.loads((GOLDEN / "intervals.json").read_text())[str(version)]
    table = json.loads((GOLDEN / "table.json").read_text())
    regressor = load(GOLDEN / f"regressor-{version}.chainrule")
    np.testing.assert_allclose(regressor.predict_interval(table, 0.75), expected, rtol=1e-5)


def test_there_are_golden_files_for_every_version():
    stems = {path.stem for path in GOLDEN.glob("*.chainrule")}
    kinds = ("network", "classifier", "regressor")
    assert stems == {f"{kind}-{version}" for kind in kinds for version in range(1, FORMAT.version + 1)}


# With no package but NumPy.


NUMPY_ALONE = """
import csv, importlib.abc, json, sys
at_start = set(sys.modules)
ALLOWED = {"numpy", "chainrule", *sys.stdlib_module_names}
class OnlyNumPy(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED and not name.startswith("_"):
            raise ModuleNotFoundError(f"{name} is blocked")
sys.meta_path.insert(0, OnlyNumPy())
import numpy as np
import chainrule
golden = sys.argv[1]
asked = json.load(open(f"{golden}/table.json"))
rows = [dict(zip(asked, row)) for row in zip(*asked.values())]
with open("rows.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, asked)
    writer.writeheader()
    writer.writerows(rows)
cells = list(csv.DictReader(open("rows.csv", newline="")))
structured = np.array([tuple(row.values()) for row in rows], dtype=[(name, object) for name in asked])
regressor, classifier = (chainrule.load(f"{golden}/{name}-2.chainrule") for name in ("regressor", "classifier"))
for table in (asked, rows, cells, {name: structured[name] for name in asked}):
    np.testing.assert_array_equal(regressor.predict(table), regressor.predict(asked))
    np.testing.assert_array_equal(regressor.predict_interval(table), regressor.predict_interval(asked))
    np.testing.assert_array_equal(classifier.predict(table), classifier.predict(asked))
    np.testing.assert_array_equal(classifier.predict_proba(table), classifier.predict_proba(asked))
    assert classifier.predict_set(table) == classifier.predict_set(asked)
network = chainrule.load(f"{golden}/network-2.chainrule")
assert network(np.zeros((2, 4))).shape == (2, 3)
loaded = {name.partition(".")[0] for name in set(sys.modules) - at_start}
print(*loaded - set(sys.stdlib_module_names))
"""


def test_models_predict_with_no_package_but_numpy(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NUMPY_ALONE, GOLDEN], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    foreign = {name for name in done.stdout.split() if not name.startswith("_")} - {"cython_runtime"}  # of NumPy 1
    assert foreign == {"chainrule", "numpy"}


def test_a_dataframe_gives_the_same_predictions_as_its_columns():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    asked, model = json.loads((GOLDEN / "table.json").read_text()), load(GOLDEN / "regressor-2.chainrule")
    for frame in (pandas.DataFrame(asked), polars.DataFrame(asked)):
        np.testing.assert_array_equal(model.predict_interval(frame), model.predict_interval(asked))


# What cannot be saved, and failing writes.


class Doubled(Layer):
    def forward(self, X, params, rng=None):
        return 2 * X, lambda dY, grads, need_dX=True: 2 * dY


def custom_activation(Z):
    return Z, lambda dA: dA


def custom_loss(Z, Y):
    return (Z - Y) ** 2, 2 * (Z - Y)


@pytest.mark.parametrize(
    "net",
    [
        Network([Dense(2, 2), Doubled()]),
        Network([Dense(2, 2), Activation(custom_activation)]),
        Network([Dense(2, 2), Residual([Activation(custom_activation), Dense(2, 2)])]),
        Network([Dense(2, 2)], loss=custom_loss),
    ],
    ids=["layer", "activation", "activation in a residual", "loss"],
)
def test_a_custom_function_cannot_be_saved_and_the_old_file_stays(net, path):
    path.write_text("what was here")
    with pytest.raises(ValueError, match="custom function, loss or layer cannot be saved"):
        save(net, path)
    assert path.read_text() == "what was here"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("metadata", [{"score": float("nan")}, {"made_by": object()}])
def test_metadata_must_be_plain_finite_data(metadata, path):
    with pytest.raises(ValueError, match="metadata must contain only plain, finite data"):
        save(a_predictor(metadata), path)
    assert not path.exists()


def test_only_models_are_saved(path):
    with pytest.raises(ValueError, match="must be a Predictor or a Network, got a dict"):
        save({}, path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save(mlp(2, 2), saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_saving_replaces_the_file_and_follows_a_symlink(saved, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(saved)
    save(mlp(2, 2, seed=1), link)
    assert link.is_symlink()
    assert isinstance(load(saved), Network)


# Invalid files.

THETA, BUFFERS = "families.0.theta", "families.0.buffers"


def no_file(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


def text(path):
    path.write_text("species,island\nAdelie,Biscoe\n")


def empty(path):
    path.write_bytes(b"")


def old_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", b"{}")


def other_safetensors(path):
    from safetensors.numpy import save_file

    save_file({"theta": np.zeros(3)}, path)


def other_json(path):
    header, _, data = take_apart(path.read_bytes())
    path.write_bytes(put_together(header, '["chainrule"]', data))


def half_json(path):
    change_text(path, lambda text: text[:300])


def deep_json(path):
    change_text(path, lambda text: text.rstrip()[:-1] + b',"a":' + b"[" * 100_000)


def many_lists(path):
    change_text(path, lambda text: text.rstrip()[:-1] + b',"a":[' + b"[]," * 300_000)


def json_with_nan(path):
    header, document, data = take_apart(path.read_bytes())
    path.write_bytes(put_together(header, json.dumps(document).replace('"l1": 0.0', '"l1": NaN'), data))


def document_with_a_key_twice(path):
    header, document, data = take_apart(path.read_bytes())
    path.write_bytes(put_together(header, json.dumps(document)[:-1] + ', "kind": "network"}', data))


def no_document(path):
    change_text(path, lambda text: text.replace(b'"document"', b'"paper"'))


def document_that_is_no_text(path):
    change_text(path, lambda text: b'{"__metadata__":{"sha256":"' + b"0" * 64 + b'","document":{}}}')


def renamed_array(path):
    change_text(path, lambda text: text.replace(b'"families.0.theta":{', b'"families.0.Theta":{'))


def missing_array(path):
    change_header(path, lambda h: h.pop(BUFFERS))


def extra_array(path):
    size = 4 * a_predictor().ensemble.networks[0].theta.size
    change_header(path, lambda h: h.update(more={"dtype": "F32", "shape": [0], "data_offsets": [size, size]}))


def array_used_twice(path):
    change_document(path, lambda d: family(d).update(buffers=family(d)["theta"]))


def array_twice(path):
    change_text(path, lambda text: text.replace(b'"families.0.buffers"', b'"families.0.theta"'))


def overlapping(path):
    change_header(path, lambda h: h[BUFFERS].update(data_offsets=[0, 0]))


def gap(path):
    header, document, data = take_apart(path.read_bytes())
    header[THETA]["data_offsets"] = [4, len(data) + 4]
    path.write_bytes(put_together(header, document, bytes(4) + data))


def trailing_bytes(path):
    path.write_bytes(with_checksum(path.read_bytes() + bytes(8)))


def missing_bytes(path):
    path.write_bytes(with_checksum(path.read_bytes()[:-4]))


def beyond_the_file(path):
    size = 10**12
    change_header(path, lambda h: h[THETA].update(shape=[size // 4], data_offsets=[0, size]))


def huge_header(path):
    path.write_bytes(with_checksum((2**64 - 1).to_bytes(8, "little") + path.read_bytes()[8:]))


def long_header(path):
    change_text(path, lambda text: text + b" " * 50_000_000)


def long_document(path):
    header, document, data = take_apart(path.read_bytes())
    path.write_bytes(put_together(header, json.dumps(document) + " " * 50_000_000, data))


def shape_with(length, path):
    change_header(path, lambda h: h[THETA].update(shape=length))


def other_dtype(path):
    change_header(path, lambda h: h[THETA].update(dtype="I32"))


def whole_numbers(path):
    change_header(path, lambda h: h[THETA].update(dtype="U32"))


def huge_family(path):
    """A million networks without parameters."""
    layers = [pieces()]
    change_header(path, lambda h: [h[name].update(shape=[10**6, 0], data_offsets=[0, 0]) for name in (THETA, BUFFERS)])
    header, document, _ = take_apart(path.read_bytes())
    family(document).update(layers=layers)
    path.write_bytes(put_together(header, document, b""))


def other_shape(path):
    change_header(path, lambda h: h[THETA].update(shape=h[THETA]["shape"][::-1]))


def other_numbers(path):
    content = path.read_bytes()
    path.write_bytes(content[:-4] + np.float32(1).tobytes())


def bare_pickle(path):
    path.write_bytes(pickle.dumps(mlp(2, 2)))


def pickled_array(path):
    change_header(path, lambda h: h[THETA].update(dtype="O"))


def not_finite(path):
    spoiled = a_predictor()
    spoiled.ensemble.networks[0].theta[3] = np.nan
    path.write_bytes(pack(spoiled))  # `save` would refuse it


def flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def cut_early(path):
    path.write_bytes(path.read_bytes()[:60])


BROKEN = {
    no_file: "no such file",
    folder: "cannot be read",
    text: "not a chainrule file, or truncated",
    empty: "not a chainrule file, or truncated",
    old_zip: r"zip files of development versions before 0\.1 are not supported; train again",
    other_safetensors: "not a chainrule file, or truncated",
    other_json: "its JSON must be an object",
    half_json: "cannot be read as a model: JSONDecodeError",
    deep_json: "RecursionError",
    many_lists: "its header must contain at most 262,144 lists and objects",
    json_with_nan: "its numbers must be finite, got NaN",
    document_with_a_key_twice: "its keys must be distinct, got .*kind",
    no_document: "KeyError: 'document'",
    document_that_is_no_text: "cannot be read as a model",
    renamed_array: "the array 'families.0.theta' must be in the file, and used once",
    missing_array: "the array 'families.0.buffers' must be in the file, and used once",
    extra_array: "its document must contain every array, got others: more",
    array_used_twice: "the array 'families.0.theta' must be in the file, and used once",
    array_twice: "its keys must be distinct, got __metadata__, families.0.theta, families.0.theta",
    overlapping: r"families.0.buffers must be at \[(\d+), \1\] of \1, got \[0, 0\]",
    gap: r"families.0.theta must be at \[0, \d+\] of \d+, got \[4, \d+\]",
    trailing_bytes: r"its arrays must take 1\d\d bytes, got 1\d\d",
    missing_bytes: r"families.0.theta must be at \[0, 168\] of 164, got \[0, 168\]",
    beyond_the_file: r"shape of families.0.theta must fit in the file, got \[250000000000\]",
    huge_header: r"its header must fit in the file and in 7,340,032 bytes, got 18,446,744,073,709,551,615",
    long_header: r"its header must fit in the file and in 7,340,032 bytes, got 50,00\d,\d{3}",
    long_document: r"its header must fit in the file and in 7,340,032 bytes, got 50,00\d,\d{3}",
    partial(shape_with, [10**12, 10**12]): "shape of families.0.theta must fit in the file",
    partial(shape_with, [-1, -27]): "shape of families.0.theta must fit in the file",
    partial(shape_with, [27.0]): "shape of families.0.theta must fit in the file",
    partial(shape_with, [True, 27]): "shape of families.0.theta must fit in the file",
    partial(shape_with, [1] * 33): "shape of families.0.theta must fit in the file",
    partial(shape_with, [10**4000] * 500): "shape of families.0.theta must fit in the file",
    partial(shape_with, [100] * 32): r"families.0.theta must be at \[0, 4000",
    other_dtype: "dtype of families.0.theta must be one of {.*}, got 'I32'",
    whole_numbers: "theta must be an array of floats",
    other_shape: r"theta must have shape \(42, 42\), got shape \(42, 1\)",
    huge_family: r"shape of families\.0\.theta must fit in the file",
    other_numbers: "checksum mismatch: the file is corrupted or truncated",
    bare_pickle: "not a chainrule file, or truncated",
    pickled_array: "dtype of families.0.theta must be one of {.*}, got 'O'",
    not_finite: "theta and buffers must be finite",
    flipped_bit: "checksum mismatch: the file is corrupted or truncated",
    cut: "checksum mismatch: the file is corrupted or truncated",
    cut_early: "not a chainrule file, or truncated",
}


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: getattr(damage, "__name__", "shape"))
def test_an_invalid_file_is_refused_with_the_reason(damage, saved):
    damage(saved)
    with pytest.raises(ModelFileError, match=BROKEN[damage]) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def nested(layer, depth):
    for _ in range(depth):
        layer = {"layer": "Residual", "layers": [layer]}
    return layer


def family(document):
    return document["families"][0]


def pieces(**options):
    """Return the description of a layer for five columns."""
    valid = {"layer": "PiecewiseLinear", "n_in": 5, "columns": [0], "edges": [[0.0, 1.0]]}
    return valid | options


def waves(**options):
    valid = {"layer": "Periodic", "n_in": 5, "columns": [0], "n_waves": 2, "n_out": 1, "sigma": 1.0}
    return valid | options


def lookup(**options):
    return {"layer": "Lookup", "n_in": 5, "columns": [0], "n_levels": [3], "n_out": 1, "rate": 0.0} | options


HUGE_SIZES = [10**9, 10**15, 10**400]
INVALID_EMBEDDINGS = [
    *[make(columns=columns) for make in (pieces, waves, lookup) for columns in (
        [], 0, "0", [0.0], [True], [-1], [5], [10**15], [10**400], [[0]], [None], list(range(20_000)), {"0": 0},
    )],
    *[make(n_in=n_in) for make in (pieces, waves, lookup) for n_in in (0, -5, "5", 5.0, None, [5], *HUGE_SIZES)],
    *[pieces(edges=edges) for edges in (
        [], 0, "01", ["01"], [["0", "1"]], [[0.0]], [[1.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]] * 2, [[[0.0, 1.0]]],
        [0.0, 1.0], [[0.0, None]], [[0.0, 10**400]], [[0.0, {"$float": "inf"}]], [[{"$float": "nan"}, 1.0]],
        [{"0": 0.0}], [[0.0] * 20_000], [[[]] * 20_000], [np.linspace(-3, 3, 50_000).tolist()],
    )],
    *[waves(n_waves=n) for n in (0, -1, "2", 2.0, None, *HUGE_SIZES)],
    *[waves(n_out=n) for n in (0, -1, "1", 1.0, None, *HUGE_SIZES)],
    *[waves(sigma=sigma) for sigma in (0, -1.0, "1", None, [1.0], {"$float": "nan"})],
    waves(n_waves=10**9, n_out=10**9),
    *[lookup(n_levels=n) for n in (
        [], 0, "3", ["3"], [3.0], [True], [0], [-1], [None], [[3]], [3, 3], {"3": 3}, [3] * 20_000,
        *([n] for n in HUGE_SIZES),
    )],
    *[lookup(n_out=n) for n in (0, -1, "1", 1.0, None, *HUGE_SIZES)],
    *[lookup(rate=rate) for rate in (1, -0.1, "0", None, [0.0], {"$float": "nan"})],
    {"layer": "Unclip", "largest": 1e9},
]  # fmt: skip
"""Embeddings that no network contains, or that the next layer, of five inputs, or the parameters do not fit."""

INVALID_DOCUMENTS = {
    "version": lambda d: d.update(version=3),
    "version as text": lambda d: d.update(version="1"),
    "format": lambda d: d.update(format="torch"),
    "kind": lambda d: d.update(kind="ensemble"),
    "no network": lambda d: d.pop("families"),
    "no families": lambda d: d.update(families=[]),
    "families as text": lambda d: d.update(families="family"),
    "families as an object": lambda d: d.update(families={"0": family(d)}),
    "no layers": lambda d: family(d).update(layers=[]),
    "huge layer": lambda d: family(d)["layers"][0].update(n_out=10**15),
    "fractional layer": lambda d: family(d)["layers"][0].update(n_out=5.0),
    "unknown layer": lambda d: family(d)["layers"][0].update(layer="Convolution"),
    "layer of another module": lambda d: family(d)["layers"][0].update(layer="os.system"),
    "unknown option": lambda d: family(d)["layers"][0].update(bias=False),
    "unknown activation": lambda d: family(d)["layers"][1].update(function="eval"),
    "unknown initializer": lambda d: family(d)["layers"][0].update(weights="eval"),
    "sizes that do not chain": lambda d: family(d)["layers"][-1].update(n_in=4),
    "unknown loss": lambda d: family(d)["loss"].update(loss="hinge"),
    "option of a loss": lambda d: family(d)["loss"].update(label_smoothing="a lot"),
    "dtype": lambda d: family(d).update(dtype="object"),
    "penalty": lambda d: family(d).update(l2=-1),
    "parameters as a list": lambda d: family(d).update(theta=[[0.0] * 42]),
    "bounds": lambda d: d.update(bounds=[[0.0], [1.0]]),
    "background as a list": lambda d: d.update(background=[[0.0, 0.0, 0.0]]),
    "background as a number": lambda d: d.update(background=3),
    "background of another width": lambda d: d.update(background={"$array": "families.0.theta"}),
    "format of a column": lambda d: d["encoder"]["columns"][0].update(format={"unit": 3}),
    "format with another field": lambda d: d["encoder"]["columns"][0].update(format={"decimal": ".", "eval": "1"}),
    "format of a category": lambda d: d["encoder"]["columns"][1].update(format={"order": "ISO 8601"}),
    "labels": lambda d: d["target"].update(labels=["no"]),
    "more labels": lambda d: d["target"].update(labels=["a", "b", "c"], frequencies=[0.2, 0.3, 0.5]),
    "task": lambda d: d["target"].update(task="clustering"),
    "fewer columns": lambda d: d["encoder"]["columns"].pop(),
    "column kind": lambda d: d["encoder"]["columns"][0].update(kind="date"),
    "column scale": lambda d: d["encoder"]["columns"][0].update(scale=1e999),
    "metadata": lambda d: d.update(metadata=[3]),
    "families of the same arrays": lambda d: d.update(families=d["families"] * 2),
    "many families": lambda d: d.update(families=d["families"] * 20_000),
    "many members": lambda d: family(d).update(theta=[[]] * 10_001),
    "many weights": lambda d: d["ensemble"].update(weights=[1e-5] * 100_000),
    "no weights": lambda d: d["ensemble"].pop("weights"),
    "weights as text": lambda d: d["ensemble"].update(weights=["1"]),
    "weights as a number": lambda d: d["ensemble"].update(weights=1),
    "nested weights": lambda d: d["ensemble"].update(weights=[[1.0]]),
    "weights that are not finite": lambda d: d["ensemble"].update(weights=[{"$float": "nan"}]),
    "huge weights": lambda d: d["ensemble"].update(weights=[10**400]),
    "negative weights": lambda d: d["ensemble"].update(weights=[-1.0]),
    "weights with another sum": lambda d: d["ensemble"].update(weights=[0.5]),
    "many layers": lambda d: family(d).update(layers=[{"layer": "Dropout"}] * 20_000),
    "many layers in one": lambda d: family(d)["layers"].append(
        {"layer": "Residual", "layers": [{"layer": "Dropout"}] * 20_000}
    ),
    "long label": lambda d: d["target"].update(
        labels=["x" * 1_000_000, *map(str, range(99))], frequencies=[0.01] * 100
    ),
    "deep layers": lambda d: family(d).update(layers=[nested(family(d)["layers"][0], 400)]),
}


@pytest.mark.parametrize("case", INVALID_DOCUMENTS)
def test_an_inconsistent_document_is_refused(case, saved):
    change_document(saved, INVALID_DOCUMENTS[case])
    with pytest.raises(ModelFileError, match="cannot be read as a model"):
        load(saved)


@pytest.mark.parametrize("embedding", INVALID_EMBEDDINGS, ids=lambda embedding: f"{str(embedding)[11:90]}")
def test_an_invalid_embedding_is_refused_before_memory_is_taken(embedding, saved):
    change_document(saved, lambda d: family(d)["layers"].insert(0, embedding))
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="cannot be read as a model"):
        load(saved)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_deeply_nested_blocks_load_quickly(path):
    layers = [Dense(2, 2)]
    for _ in range(100):
        layers = [Residual(layers)]
    save(Network(layers, seed=0), path)
    start = process_time()
    load(path)
    assert process_time() - start < 1


def test_labels_that_would_take_gigabytes_as_an_array_are_refused(saved):
    change_document(saved, INVALID_DOCUMENTS["long label"])
    with pytest.raises(ModelFileError, match="labels must fit in 10,000,000 characters"):
        load(saved)


@pytest.mark.parametrize("names", [["x0", "x999999999"], ["n" * 1_000_000, "b"]])
def test_column_names_that_claim_gigabytes_allocate_none(names, saved):
    number = {
        "kind": "number",
        "center": 0.0,
        "scale": 1.0,
        "indicator": False,
        "edges": [float(k) for k in range(5000)],
    }
    change_document(saved, lambda d: d["encoder"].update(columns=[number | {"name": name} for name in names]))
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=r"network must have 10000 inputs|at most 100,000,000 characters in total"):
        load(saved)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


def test_a_later_format_version_is_named(saved):
    change_document(saved, INVALID_DOCUMENTS["version"])
    with pytest.raises(
        ModelFileError, match="format version 3 is not supported; this version of chainrule reads 1 and 2"
    ):
        load(saved)


def test_every_truncated_file_is_refused(saved):
    content = saved.read_bytes()
    for length in {*range(0, len(content), 97), len(content) - 1}:
        saved.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            load(saved)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m"
    save(a_predictor({"seed": 3}), path)
    return path, path.read_bytes()


@given(st.data())
@settings(max_examples=200)
def test_flipped_bytes_are_detected_or_harmless(content, data):
    path, good = content
    bad = bytearray(good)
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
        bad[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bad)
    table = {"a": [1.0, 3.0], "b": ["x", "y"]}
    try:
        model = load(path)
    except ModelFileError:
        return
    assert bytes(bad) == good
    np.testing.assert_array_equal(model.predict_proba(table), a_predictor().predict_proba(table))


def test_modified_files_are_refused_or_other_models():
    outcomes, _ = fuzz(400, seed=1)
    assert {outcome for _, outcome in outcomes} == {"refused", "accepted"}


def test_hostile_headers_are_refused():
    outcomes, _ = fuzz(200, seed=2, changes=[edit_header, edit_text])
    assert sum(n for (_, outcome), n in outcomes.items() if outcome == "refused") > 165


def test_a_network_with_nan_is_not_saved(tmp_path):
    network = mlp(2, 3, 1, seed=0)
    network.params[0]["W"][0, 0] = np.nan
    with pytest.raises(ValueError, match="model must have finite parameters"):
        save(network, tmp_path / "bad.chainrule")
    assert not list(tmp_path.iterdir())
