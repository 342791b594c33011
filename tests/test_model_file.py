import io
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule
from chainrule import Activation, BatchNorm, Bounded, Dense, Dropout, LayerNorm, Network, Residual, Scale, mlp, train
from chainrule.archive import SEAL_BYTES, sealed
from chainrule.data.reading import read_columns
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import fit_target
from chainrule.errors import ModelFileError
from chainrule.model.file import FORMAT, load, pack, save
from chainrule.model.fitting import fit_predictor
from chainrule.model.predictor import Predictor
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.layers import LAYERS, Layer
from chainrule.nn.losses import LOSSES, CrossEntropy, Huber, Quantile
from fuzz_model_file import GOLDEN, answer, fuzz

EVERY_LAYER = [
    Dense(4, 6, "he_normal", "uniform"),
    BatchNorm(6, decay=0.5),
    Activation("relu"),
    Residual([Dense(6, 6), BatchNorm(6), Activation("mish"), Residual([Dense(6, 6)])]),
    Dropout(0.25),
    LayerNorm(6),
    Scale(6),
    Bounded(-2, 2.5),
    Dense(6, 3),
]


def every_layer(dtype="float32"):
    net = Network(EVERY_LAYER, CrossEntropy(0.1), l1=1e-4, l2=1e-3, seed=0, dtype=dtype)
    X = np.random.default_rng(1).normal(size=(40, 4))
    train(net, X, np.arange(40) % 3, epochs=3, batch_size=8)
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
    """A predictor's file and its entries."""
    save(a_predictor({"seed": 3, "scores": {"accuracy": 0.5}}), path)
    return path


def theta_of(predictor):
    return np.stack([network.theta for network in predictor.ensemble.networks])


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, entries, compression=zipfile.ZIP_STORED):
    """What one who knows the format would write: with a seal that fits."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.comment = bytes(SEAL_BYTES)
    seal(path)


def seal(path):
    path.write_bytes(sealed(path.read_bytes()))


def change_document(path, change):
    entries = entries_of(path)
    document = json.loads(entries["model.json"])
    change(document)
    rewrite(path, entries | {"model.json": json.dumps(document).encode()})


def npy(array, **options):
    raw = io.BytesIO()
    np.save(raw, array, **options)
    return raw.getvalue()


# There and back.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_of_every_layer_comes_back_to_the_last_bit(dtype, path, rng):
    net = every_layer(dtype)
    assert {type(layer).__name__ for layer in net.layers} == set(LAYERS)
    save(net, path)
    back = load(path)
    np.testing.assert_array_equal(back.theta, net.theta)
    np.testing.assert_array_equal(back.buffers, net.buffers)
    assert (back.layers, back.loss, back.l1, back.l2, back.dtype) == (net.layers, net.loss, net.l1, net.l2, net.dtype)
    X = rng.normal(size=(7, 4))
    np.testing.assert_array_equal(back.predict(X), net(X))


@pytest.mark.parametrize("loss", [*LOSSES, Huber(0.25), Quantile((0.1, 0.9))], ids=str)
def test_every_loss_comes_back(loss, path):
    net = mlp(3, 2, loss=loss, seed=0)
    save(net, path)
    assert load(path).loss == net.loss


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_comes_back(activation, path):
    save(mlp(3, 4, 2, activation=activation, seed=0), path)
    assert load(path).layers[1] == Activation(activation)


def test_a_loaded_network_can_be_trained_on(path, rng):
    X, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    net = every_layer()
    save(net, path)
    back = load(path)
    assert train(back, X, y, epochs=2).loss == train(net, X, y, epochs=2).loss
    np.testing.assert_array_equal(back.theta, net.theta)


def test_a_predictor_comes_back_whole(path):
    model = a_predictor({"seed": 3, "scores": {"accuracy": 0.5}, "note": "é"})
    model.save(path)
    back = load(path)
    table = [{"b": "é 日本", "a": "2"}, {"a": None, "b": "new"}]
    np.testing.assert_array_equal(back.predict_proba(table), model.predict_proba(table))
    assert back.metadata == model.metadata
    assert back.target == model.target
    assert back.encoder.state() == model.encoder.state()


def test_numpy_reads_the_file_and_the_same_model_makes_the_same_bytes(saved, tmp_path):
    with np.load(saved, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["theta"], [a_predictor().ensemble.networks[0].theta])
    save(load(saved), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_the_file_is_hardly_larger_than_its_parameters(path, rng):
    net = mlp(784, 128, 10, seed=0)
    save(net, path)
    assert path.stat().st_size <= net.theta.nbytes + 4_000
    table = read_columns({f"x{j}": rng.normal(size=100) for j in range(20)})
    values = table["x0"] + table["x1"]
    model = fit_predictor(table, values, fit_target("y", values), n_members=2, epochs=1).predictor
    model.save(path)
    parameters = sum(network.theta.size for network in model.ensemble.networks)
    assert path.stat().st_size <= 4 * parameters + 20_000


@pytest.mark.parametrize(("n_columns", "labels"), [(300, ["a", "b", "c"]), (70, None)])
def test_so_it_is_for_wide_tables(n_columns, labels, path, rng):
    table = read_columns({f"x{j}": rng.normal(size=60) for j in range(n_columns)})
    values = table["x0"] if labels is None else np.array(labels)[rng.integers(3, size=60)]
    model = fit_predictor(table, values, fit_target("y", values), n_members=2, epochs=1).predictor
    model.save(path)
    parameters = sum(network.theta.size for network in model.ensemble.networks)
    assert path.stat().st_size <= 4 * parameters + 20_000


def test_the_passport_says_what_was_trained_on(rng):
    table = read_columns({"x": rng.normal(size=100), "colour": ["red", "blue"] * 50, "same": [1] * 100})
    values = np.array(["yes", "no"] * 50)

    def passport_of(values, **options):
        target = fit_target("y", values)
        return fit_predictor(table, values, target, n_members=2, epochs=1, **options).predictor.metadata

    told = passport_of(values)
    assert (told["chainrule"], told["numpy"]) == (chainrule.__version__, np.__version__)
    assert (told["seed"], told["target"], told["task"]) == (0, "y", "classification")
    assert told["columns"] == [
        {"name": "x", "kind": "number"},
        {"name": "colour", "kind": "category"},
        {"name": "same", "kind": "left out"},
    ]
    assert told["data"] == passport_of(values, seed=1)["data"]
    assert told["data"] != passport_of(values[::-1])["data"]
    assert told["data"] != passport_of(values, weight=np.ones(100))["data"]


# Files of every version released.


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.chainrule")), ids=lambda path: path.stem)
def test_a_golden_file_answers_as_ever(path):
    np.testing.assert_allclose(answer(load(path)), json.loads(path.with_suffix(".json").read_text()), rtol=1e-5)


def test_there_are_golden_files_of_every_version():
    made = {path.stem for path in GOLDEN.glob("*.chainrule")}
    kinds = ("network", "classifier", "regressor")
    assert made == {f"{kind}-{version}" for kind in kinds for version in range(1, FORMAT.version + 1)}


# Without any package but NumPy.


NUMPY_ALONE = """
import csv, importlib.abc, json, sys
at_start = set(sys.modules)
ALLOWED = {"numpy", "chainrule", *sys.stdlib_module_names}
class OnlyNumPy(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED and not name.startswith("_"):
            raise ModuleNotFoundError(f"{name} is not installed here")
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
regressor, classifier = (chainrule.load(f"{golden}/{name}-1.chainrule") for name in ("regressor", "classifier"))
for table in (asked, rows, cells, {name: structured[name] for name in asked}):
    np.testing.assert_array_equal(regressor.predict(table), regressor.predict(asked))
    np.testing.assert_array_equal(regressor.predict_interval(table), regressor.predict_interval(asked))
    np.testing.assert_array_equal(classifier.predict(table), classifier.predict(asked))
    np.testing.assert_array_equal(classifier.predict_proba(table), classifier.predict_proba(asked))
network = chainrule.load(f"{golden}/network-1.chainrule")
assert network(np.zeros((2, 4))).shape == (2, 3)
loaded = {name.partition(".")[0] for name in set(sys.modules) - at_start}
print(*loaded - set(sys.stdlib_module_names))
"""


def test_models_answer_where_nothing_but_numpy_is_installed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NUMPY_ALONE, GOLDEN], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    foreign = {name for name in done.stdout.split() if not name.startswith("_")} - {"cython_runtime"}  # NumPy 1's own
    assert foreign == {"chainrule", "numpy"}


def test_a_dataframe_is_answered_as_its_columns():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    asked, model = json.loads((GOLDEN / "table.json").read_text()), load(GOLDEN / "regressor-1.chainrule")
    for frame in (pandas.DataFrame(asked), polars.DataFrame(asked)):
        np.testing.assert_array_equal(model.predict_interval(frame), model.predict_interval(asked))


# What cannot be saved, and where.


class Doubled(Layer):
    def forward(self, X, params, rng=None):
        return 2 * X, lambda dY, grads, need_dX=True: 2 * dY


def own_activation(Z):
    return Z, lambda dA: dA


def own_loss(Z, Y):
    return (Z - Y) ** 2, 2 * (Z - Y)


@pytest.mark.parametrize(
    "net",
    [
        Network([Dense(2, 2), Doubled()]),
        Network([Dense(2, 2), Activation(own_activation)]),
        Network([Dense(2, 2), Residual([Activation(own_activation), Dense(2, 2)])]),
        Network([Dense(2, 2)], loss=own_loss),
    ],
    ids=["layer", "activation", "activation in a residual", "loss"],
)
def test_a_function_of_ones_own_cannot_be_saved_and_the_old_file_stays(net, path):
    path.write_text("what was here")
    with pytest.raises(ValueError, match="function of your own cannot be saved"):
        save(net, path)
    assert path.read_text() == "what was here"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("metadata", [{"score": float("nan")}, {"made_by": object()}])
def test_a_passport_holds_plain_finite_data(metadata, path):
    with pytest.raises(ValueError, match="metadata must hold plain"):
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


def test_saving_replaces_the_file_and_follows_a_link(saved, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(saved)
    save(mlp(2, 2, seed=1), link)
    assert link.is_symlink()
    assert isinstance(load(saved), Network)


# What is not believed.


def no_file(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


def text(path):
    path.write_text("species,island\nAdelie,Biscoe\n")


def nothing(path):
    path.write_bytes(b"")


def other_zip(path):
    rewrite(path, {"readme.txt": b"hello"})


def other_json(path):
    rewrite(path, entries_of(path) | {"model.json": b'["chainrule"]'})


def half_json(path):
    rewrite(path, entries_of(path) | {"model.json": entries_of(path)["model.json"][:200]})


def deep_json(path):
    rewrite(path, entries_of(path) | {"model.json": b"[" * 100_000})


def json_with_nan(path):
    rewrite(path, entries_of(path) | {"model.json": entries_of(path)["model.json"].replace(b'"l1":0.0', b'"l1":NaN')})


def renamed_entry(path):
    entries = entries_of(path)
    entries["Theta.npy"] = entries.pop("theta.npy")
    rewrite(path, entries)


def extra_entry(path):
    rewrite(path, entries_of(path) | {"more.npy": npy(np.zeros(3))})


@pytest.mark.filterwarnings("ignore:Duplicate name")
def entry_twice(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("theta.npy", entries_of(path)["theta.npy"])
    seal(path)


def compressed(path):
    rewrite(path, entries_of(path), zipfile.ZIP_DEFLATED)


def deflate_document(path, text):
    entries = entries_of(path) | {"model.json": text}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if name == "model.json" else zipfile.ZIP_STORED)
        archive.comment = bytes(SEAL_BYTES)
    seal(path)


def bomb(path):
    rewrite(path, entries_of(path) | {"theta.npy": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)


def document_bomb(path):
    deflate_document(path, entries_of(path)["model.json"] + b" " * 50_000_000)


def lying_bomb(path):
    """A document of which a few kilobytes deflate to 200 megabytes, and that is told to be of 1,000 bytes."""
    deflate_document(path, b" " * 200_000_000)
    told = (200_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(told, (1000).to_bytes(4, "little")))
    seal(path)


def pickled(path):
    content = npy(np.array([print], dtype=object), allow_pickle=True)
    rewrite(path, entries_of(path) | {"theta.npy": content})


def bare_pickle(path):
    path.write_bytes(pickle.dumps(mlp(2, 2)))


def other_numbers(path):
    theta = theta_of(a_predictor())
    rewrite(path, entries_of(path) | {"theta.npy": npy(theta + np.float32(1))})


def reordered_numbers(path):
    rewrite(path, entries_of(path) | {"theta.npy": npy(theta_of(a_predictor())[:, ::-1].copy())})


def one_number_less(path):
    rewrite(path, entries_of(path) | {"theta.npy": npy(theta_of(a_predictor())[:, :-1])})


def other_dtype(path):
    rewrite(path, entries_of(path) | {"theta.npy": npy(theta_of(a_predictor()).view(np.int32))})


def huge_shape(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    content = entries_of(path)["theta.npy"]
    rewrite(path, entries_of(path) | {"theta.npy": header.getvalue() + content[128:]})


def not_finite(path):
    spoiled = a_predictor()
    spoiled.ensemble.networks[0].theta[3] = np.nan
    path.write_bytes(pack(spoiled))  # past `save`, which refuses it


def unsealed(path):
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def huge_directory(path):
    content = bytearray(path.read_bytes())
    content[-74:-70] = b"\xff" * 4
    path.write_bytes(sealed(content))


def second_edition(path):
    content = path.read_bytes()
    locator = b"PK\6\7" + bytes(16)
    path.write_bytes(sealed(content[:-86] + locator + content[-86:]))


BROKEN = {
    no_file: "there is no such file",
    folder: "cannot be read",
    text: "no zip archive",
    nothing: "no zip archive",
    other_zip: "it must hold model.json, and holds readme.txt",
    other_json: "model.json is not of the format 'chainrule'",
    half_json: "is not a model",
    deep_json: "is not a model",
    json_with_nan: "holds NaN",
    renamed_entry: "do not tell of the same arrays: Theta.npy, theta.npy",
    extra_entry: "more.npy",
    entry_twice: "there twice",
    compressed: "not stored as it is",
    bomb: "not stored as it is",
    document_bomb: r"model.json is 50,00\d,\d{3} bytes long",
    lying_bomb: "Bad CRC-32",
    pickled: "theta.npy",
    bare_pickle: "no zip archive",
    other_numbers: "checksum of theta.npy",
    reordered_numbers: "checksum of theta.npy",
    one_number_less: "theta.npy",
    other_dtype: "theta.npy holds int32",
    huge_shape: r"theta.npy holds float32 of shape \(1000000000000,\)",
    unsealed: "its checksum is another one",
    cut: "no zip archive with a seal",
    huge_directory: "list of entries is 4,294,967,295 bytes long",
    second_edition: "second edition",
    not_finite: "not finite",
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_refused_by_name(damage, saved):
    damage(saved)
    with pytest.raises(ModelFileError, match=BROKEN[damage]) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def nested(layer, depth):
    for _ in range(depth):
        layer = {"layer": "Residual", "layers": [layer]}
    return layer


LIES = {
    "version": lambda d: d.update(version=2),
    "version as text": lambda d: d.update(version="1"),
    "format": lambda d: d.update(format="torch"),
    "kind": lambda d: d.update(kind="ensemble"),
    "no network": lambda d: d.pop("network"),
    "no layers": lambda d: d["network"].update(layers=[]),
    "huge layer": lambda d: d["network"]["layers"][0].update(n_out=10**15),
    "fractional layer": lambda d: d["network"]["layers"][0].update(n_out=5.0),
    "unknown layer": lambda d: d["network"]["layers"][0].update(layer="Convolution"),
    "layer of another module": lambda d: d["network"]["layers"][0].update(layer="os.system"),
    "unknown option": lambda d: d["network"]["layers"][0].update(bias=False),
    "unknown activation": lambda d: d["network"]["layers"][1].update(function="eval"),
    "unknown initialiser": lambda d: d["network"]["layers"][0].update(weights="eval"),
    "sizes that do not chain": lambda d: d["network"]["layers"][-1].update(n_in=4),
    "unknown loss": lambda d: d["network"]["loss"].update(loss="hinge"),
    "option of a loss": lambda d: d["network"]["loss"].update(label_smoothing="a lot"),
    "dtype": lambda d: d["network"].update(dtype="object"),
    "penalty": lambda d: d["network"].update(l2=-1),
    "checksum": lambda d: d["arrays"]["theta"].update(crc32=1),
    "shape": lambda d: d["arrays"]["theta"].update(shape=[3]),
    "labels": lambda d: d["target"].update(labels=["no"]),
    "more labels": lambda d: d["target"].update(labels=["a", "b", "c"], shares=[0.2, 0.3, 0.5]),
    "task": lambda d: d["target"].update(task="clustering"),
    "fewer columns": lambda d: d["encoder"]["columns"].pop(),
    "column kind": lambda d: d["encoder"]["columns"][0].update(kind="date"),
    "column scale": lambda d: d["encoder"]["columns"][0].update(scale=1e999),
    "metadata": lambda d: d.update(metadata=[3]),
    "many members": lambda d: d["ensemble"].update(members=10**9),
    "many layers": lambda d: d["network"].update(layers=[{"layer": "Dropout"}] * 20_000),
    "many layers in one": lambda d: d["network"]["layers"].append(
        {"layer": "Residual", "layers": [{"layer": "Dropout"}] * 20_000}
    ),
    "long label": lambda d: d["target"].update(labels=["x" * 1_000_000, *map(str, range(99))], shares=[0.01] * 100),
    "deep layers": lambda d: d["network"].update(layers=[nested(d["network"]["layers"][0], 400)]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_document_that_does_not_fit_is_refused(lie, saved):
    change_document(saved, LIES[lie])
    with pytest.raises(ModelFileError, match="is not a model that can be trusted"):
        load(saved)


def test_blocks_within_blocks_take_no_time(path):
    layers = [Dense(2, 2)]
    for _ in range(100):
        layers = [Residual(layers)]
    save(Network(layers, seed=0), path)
    start = perf_counter()
    load(path)
    assert perf_counter() - start < 1


def test_labels_that_would_take_gigabytes_as_an_array_are_refused_first(saved):
    change_document(saved, LIES["long label"])
    with pytest.raises(ModelFileError, match="labels must fit 10,000,000 characters"):
        load(saved)


@pytest.mark.parametrize("names", [["x0", "x999999999"], ["n" * 1_000_000, "b"]])
def test_names_that_promise_gigabytes_take_none(names, saved):
    number = {
        "kind": "number",
        "centre": 0.0,
        "scale": 1.0,
        "indicator": False,
        "edges": [float(k) for k in range(5000)],
    }
    change_document(saved, lambda d: d["encoder"].update(columns=[number | {"name": name} for name in names]))
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=r"network must take 10000 encoded columns|at most in all"):
        load(saved)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 50 * 2**20


def test_a_later_format_says_so(saved):
    change_document(saved, LIES["version"])
    with pytest.raises(ModelFileError, match="format version is 2, and this chainrule reads 1"):
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
@settings(max_examples=300, deadline=None)
def test_flipped_bytes_are_refused_or_harmless(content, data):
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
    # A date in the archive's own directory may change; an answer may not.
    np.testing.assert_array_equal(model.predict_proba(table), a_predictor().predict_proba(table))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_changed_files_are_refused_or_answer_as_they_did():
    outcomes, _ = fuzz(600, seed=1)
    assert {outcome for _, outcome in outcomes} == {"refused", "taken"}


def test_a_network_that_is_not_finite_is_not_saved(tmp_path):
    network = mlp(2, 3, 1, seed=0)
    network.params[0]["W"][0, 0] = np.nan
    with pytest.raises(ValueError, match="model must have finite parameters"):
        save(network, tmp_path / "bad.chainrule")
    assert not list(tmp_path.iterdir())
