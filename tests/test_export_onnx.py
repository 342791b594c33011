import json

import numpy as np
import pytest

from chainrule import Activation, Dense, Layer, Network, mlp
from chainrule.data.columns import CategoryColumn, DateColumn, NumberColumn
from chainrule.errors import ModelFileError
from exported import (
    CATEGORIES,
    NETWORKS,
    NUMBERS,
    TABLES,
    TARGETS,
    days_of,
    predictions_of,
    predictor_of,
    query_table,
    rows_for,
)

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
export = pytest.importorskip("chainrule.export")
to_onnx, verify_onnx = export.to_onnx, export.verify_onnx


def run(path, **inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip((output.name for output in session.get_outputs()), session.run(None, inputs)))


def inputs_for(predictor, table):
    """Return a table as the graph takes it, in the order of the predictor's columns."""

    def columns(kind):
        return [table[column.name] for column in predictor.encoder.columns if isinstance(column, kind)]

    numbers, categories = columns(NumberColumn), columns(CategoryColumn)
    texts = [["" if cell is None else cell for cell in column] for column in categories]
    days = [list(map(days_of, column)) for column in columns(DateColumn)]
    inputs = {
        "numbers": np.array(numbers, np.float64).T,
        "dates": np.array(days).T,
        "categories": np.array(texts, object).T,
    }
    return {name: cells for name, cells in inputs.items() if cells.size}


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_matches_every_network(name, tmp_path):
    network, X = NETWORKS[name](), rows_for(name)
    written = to_onnx(network, tmp_path / "net.onnx")
    expected = network(X)
    given = run(tmp_path / "net.onnx", X=X)["Y"]
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))
    assert written.difference < 1e-5
    assert written.n_bytes == (tmp_path / "net.onnx").stat().st_size


@pytest.mark.parametrize(
    ("kind", "target", "n_bins"),
    [
        *((kind, "text", n_bins) for kind in TABLES for n_bins in (0, 4)),
        *(("all kinds", target, 4) for target in TARGETS if target != "text"),
    ],
)
def test_a_predictor_takes_raw_cells(kind, target, n_bins, tmp_path):
    predictor, table = predictor_of(TABLES[kind], TARGETS[target], n_bins), query_table(kind)
    to_onnx(predictor, tmp_path / "table.onnx")
    given = run(tmp_path / "table.onnx", **inputs_for(predictor, table))
    expected = predictions_of(predictor, table)
    if target == "numbers":
        np.testing.assert_allclose(given["predictions"], expected, rtol=1e-5)
    else:
        np.testing.assert_allclose(given["probabilities"], expected, atol=1e-5)
        clear = np.ptp(np.sort(expected, axis=1)[:, -2:], axis=1) > 1e-5
        np.testing.assert_array_equal(given["label"][clear], predictor.predict(table)[clear])


def test_one_row_and_no_rows_are_predicted(tmp_path):
    network = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    to_onnx(network, tmp_path / "net.onnx")
    for n in (0, 1):
        assert run(tmp_path / "net.onnx", X=np.zeros((n, 3), np.float32))["Y"].shape == (n, 2)


def test_labels_have_standard_types_and_there_is_no_zipmap(tmp_path):
    types = {}
    for target in ("text", "integers", "booleans"):
        to_onnx(predictor_of(NUMBERS, TARGETS[target]), tmp_path / "table.onnx")
        model = onnx.load(tmp_path / "table.onnx")
        assert {node.domain for node in model.graph.node} == {""}
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 12)]
        types[target] = model.graph.output[0].type.tensor_type.elem_type
    text, integers, booleans = onnx.TensorProto.STRING, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    assert types == {"text": text, "integers": integers, "booleans": booleans}


def test_preprocessing_is_folded_into_the_first_weights(tmp_path):
    to_onnx(predictor_of(TABLES["numbers and categories"], TARGETS["numbers"], members=1), tmp_path / "table.onnx")
    operators = [node.op_type for node in onnx.load(tmp_path / "table.onnx").graph.node]
    assert operators.count("Gemm") == 2
    assert operators[operators.index("Gemm") :][:5] == ["Gemm", "Selu", "Gemm", "Max", "Min"]


def test_the_metadata_lists_the_columns_in_order(tmp_path):
    predictor = predictor_of(TABLES["numbers and categories"], TARGETS["text"])
    to_onnx(predictor, tmp_path / "table.onnx")
    (entry,) = onnx.load(tmp_path / "table.onnx").metadata_props
    metadata = json.loads(entry.value)
    assert metadata["columns"] == {"numbers": list(NUMBERS), "categories": list(CATEGORIES)}
    assert metadata["schema"]["labels"] == list(predictor.target.labels)
    schema = {column["name"]: column for column in metadata["schema"]["columns"]}
    assert schema["sex"] == {
        "name": "sex", "kind": "category", "min": None, "max": None, "categories": ["f", "m"], "unit": "",
        "missing": "seen",
    }  # fmt: skip
    inputs = onnx.load(tmp_path / "table.onnx").graph.input
    assert {given.name: given.doc_string for given in inputs}["numbers"] == "height, weight"


@pytest.mark.parametrize(
    ("name", "model", "opset"),
    [
        ("raw", lambda: mlp(3, 4, 2, loss="cross_entropy", seed=0), 9),
        ("embeddings", lambda: NETWORKS["layer Lookup"](), 18),  # for mish
        ("normalized", lambda: NETWORKS["layer LayerNorm"](), 18),
        ("numbers", lambda: predictor_of(TABLES["numbers"], TARGETS["text"], 3), 12),
        ("indices", lambda: predictor_of({"shop": TABLES["many categories"]["shop"]}, TARGETS["text"]), 9),
        ("categories", lambda: predictor_of(TABLES["categories"], TARGETS["text"]), 19),
    ],
)
def test_the_operator_set_is_as_low_as_the_operators_need(name, model, opset, tmp_path):
    path = tmp_path / f"{name}.onnx"
    to_onnx(model(), path)
    loaded = onnx.load(path)
    versions = {given.domain: given.version for given in loaded.opset_import}
    assert versions == {"": opset} | ({"ai.onnx.ml": 2} if name == "indices" else {})
    if opset > 9:
        next(given for given in loaded.opset_import if not given.domain).version = opset - 1
        onnx.save(loaded, path)
        with pytest.raises((onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ModelFileError)):
            checked(path)


def checked(path):
    """Verify a file after the checks that onnxruntime leaves out."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return verify_onnx(path)


def test_verification_passes_and_fails_for_a_modified_file(tmp_path):
    path = tmp_path / "table.onnx"
    to_onnx(predictor_of(TABLES["categories"], TARGETS["text"]), path)
    assert verify_onnx(path) < 1e-5
    model = onnx.load(path)
    weights = next(array for array in model.graph.initializer if array.data_type == onnx.TensorProto.FLOAT)
    weights.CopyFrom(onnx.numpy_helper.from_array(1.1 * onnx.numpy_helper.to_array(weights), weights.name))
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="does not reproduce its golden rows"):
        verify_onnx(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="no golden rows"):
        verify_onnx(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match="not a valid ONNX model"):
        verify_onnx(path)


def test_the_ensemble_takes_encoded_columns(tmp_path):
    predictor, path = predictor_of(TABLES["all kinds"], TARGETS["numbers"]), tmp_path / "table.onnx"
    to_onnx(predictor.ensemble, path)
    X = predictor.encoder.transform(query_table("all kinds"))
    np.testing.assert_allclose(run(path, X=X)["Y"], predictor.ensemble.predict(X), atol=1e-5)


class Own(Layer):
    def forward(self, X, params, rng=None):
        raise AssertionError("the export must not call it")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network([Dense(2, 2), Own()]), r"got Own.* as layer 1"),
        (Network([Dense(2, 2), Activation(lambda Z: (Z, lambda dA: dA))]), r"got Activation\(<lambda>\) as layer 1"),
    ],
)
def test_custom_layers_are_rejected_by_name(network, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        to_onnx(network, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
