import re
import shutil
import subprocess

import numpy as np
import pytest

from chainrule import Activation, Dense, Layer, Network, mlp
from chainrule.data.columns import DateColumn
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget
from chainrule.export import to_c
from chainrule.model.embeddings import LAYERS
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from exported import (
    NETWORKS,
    TABLES,
    TARGETS,
    days_of,
    predictions_of,
    predictor_of,
    query_table,
    rows_for,
)

COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic"]
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
DRIVER = """
#include <stdio.h>
#include "NAME.h"
int main(void)
{
    double x[UPPER_N_IN];
    float out[UPPER_N_OUT];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        NAME_predict(x, out);
        fwrite(out, sizeof out, 1, stdout);
    }
    return 0;
}
"""


def compiled(path, *options):
    """Compile a source file with warnings as errors and return the program."""
    program = path.with_suffix(".out")
    subprocess.run([COMPILER, *FLAGS, *options, str(path), "-o", str(program), "-lm"], check=True)
    return program


def run_header(header, X, n_out):
    """Return the predictions of the header's function for rows X."""
    name = header.stem
    driver = header.with_name(f"driver_{name}.c")
    driver.write_text(DRIVER.replace("NAME", name).replace("UPPER", name.upper()))
    done = subprocess.run([compiled(driver)], input=X.tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, n_out)


def self_test(header):
    """Compile the header with its self-test macro and run it."""
    program = compiled(header, f"-D{header.stem.upper()}_SELF_TEST", "-x", "c")
    return subprocess.run([program], capture_output=True, text=True, check=False)


def raw_rows(predictor, table):
    """Return a table as the header takes it: numbers, NaN where missing, and category indices."""
    columns = []
    for column in predictor.encoder.columns:
        cells = table[column.name]
        levels = list(getattr(column, "categories", ()))
        if levels:
            cells = [levels.index(cell) if cell in levels else -1 for cell in cells]
        columns.append(list(map(days_of, cells)) if isinstance(column, DateColumn) else cells)
    return np.array(columns, np.float64).T


@needs_a_compiler
def test_c_matches_every_network(tmp_path):
    """All networks are in one program, to compile only once."""
    calls, includes, expected = [], [], []
    for k, name in enumerate(NETWORKS):
        network, X = NETWORKS[name](), rows_for(name)
        written = to_c(network, tmp_path / f"net{k}.h")
        assert written.difference < 1e-5
        X.tofile(tmp_path / f"net{k}.rows")
        expected.append((name, network(X)))
        includes.append(f'#include "net{k}.h"')
        calls.append(f'run("net{k}", net{k}_predict, NET{k}_N_IN, NET{k}_N_OUT);')
    (tmp_path / "all.c").write_text(ALL.replace("INCLUDES", "\n".join(includes)).replace("CALLS", "\n".join(calls)))
    subprocess.run([compiled(tmp_path / "all.c")], cwd=tmp_path, check=True)
    for k, (name, predictions) in enumerate(expected):
        given = np.fromfile(tmp_path / f"net{k}.predictions", np.float32).reshape(predictions.shape)
        scale = 1e-5 * max(1, np.abs(predictions).max())
        np.testing.assert_allclose(given, predictions, rtol=1e-5, atol=scale, err_msg=name)


ALL = """
#include <stdio.h>
#include <string.h>
INCLUDES
static void run(const char *name, void (*predict)(const float *, float *), int n_in, int n_out)
{
    float x[64], out[64];
    char path[64];
    FILE *rows, *predictions;
    strcat(strcpy(path, name), ".rows");
    rows = fopen(path, "rb");
    strcat(strcpy(path, name), ".predictions");
    predictions = fopen(path, "wb");
    while (fread(x, sizeof(float), (size_t)n_in, rows) == (size_t)n_in) {
        predict(x, out);
        fwrite(out, sizeof(float), (size_t)n_out, predictions);
    }
    fclose(rows);
    fclose(predictions);
}
int main(void)
{
    CALLS
    return 0;
}
"""


@needs_a_compiler
@pytest.mark.parametrize(
    ("kind", "target", "n_bins"),
    [
        ("numbers", "numbers", 4),
        ("numbers and categories", "text", 0),
        ("categories", "integers", 0),
        ("all kinds", "numbers", 4),
        ("all kinds", "booleans", 0),
    ],
)
def test_a_predictor_takes_raw_cells(kind, target, n_bins, tmp_path):
    predictor, table = predictor_of(TABLES[kind], TARGETS[target], n_bins), query_table(kind)
    to_c(predictor, tmp_path / "table.h")
    expected = predictions_of(predictor, table)
    given = run_header(tmp_path / "table.h", raw_rows(predictor, table), expected.shape[1])
    scale = np.abs(expected).max(axis=0) if target == "numbers" else 1
    assert np.max(np.abs(given - expected) / scale) < 1e-5


@needs_a_compiler
def test_numbers_indistinguishable_in_single_precision_are_distinguished(tmp_path):
    rng = np.random.default_rng(5)
    table = {
        "clock": 1.7e9 + rng.uniform(0, 60, 90),
        "mass": rng.normal(size=90) * 1e-50,
        "far": rng.normal(size=90) * 1e50,
    }
    predictor = predictor_of(table, np.where(table["clock"] > 1.7e9 + 30, "late", "early"))
    to_c(predictor, tmp_path / "table.h")
    given = run_header(tmp_path / "table.h", np.column_stack(list(table.values())), 2)
    np.testing.assert_allclose(given, predictor.predictions(table), atol=1e-5)
    assert np.ptp(given, axis=0).min() > 0.1


@needs_a_compiler
def test_raw_numbers_are_floats(tmp_path):
    network = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    target = ClassTarget("y", "int64", (0, 1), (0.5, 0.5))
    to_c(Predictor(TabularEncoder.raw(["a", "b", "c"]), network, target), tmp_path / "raw.h")
    assert "raw_predict(const float *x, float *out)" in (tmp_path / "raw.h").read_text()
    assert self_test(tmp_path / "raw.h").returncode == 0


@needs_a_compiler
def test_bounds_beyond_single_precision_have_no_effect(tmp_path):
    network = mlp(2, 3, 1, seed=0)
    bounds = np.array([[-1e60], [1e60]])
    to_c(Ensemble((network,), bounds=bounds), tmp_path / "net.h")
    assert self_test(tmp_path / "net.h").returncode == 0


def test_a_category_too_long_for_a_literal_is_rejected(tmp_path):
    table = {"note": ["short", "é" * 2048] * 20}
    with pytest.raises(ValueError, match=r"at most 4,094 bytes.* got 4,096 bytes"):
        to_c(predictor_of(table, ["a", "b"] * 20), tmp_path / "note.h")
    assert list(tmp_path.iterdir()) == []


@needs_a_compiler
def test_the_self_test_passes_and_fails_for_a_modified_header(tmp_path):
    header = tmp_path / "who.h"
    to_c(predictor_of(TABLES["numbers and categories"], TARGETS["text"]), header)
    done = self_test(header)
    assert done.returncode == 0
    assert re.fullmatch(r"\d+ golden rows: largest difference \d\.\de-\d\d, 0 wrong predictions\n", done.stdout)
    text = header.read_text()
    header.write_text(text.replace("1.7580993f", "1.8580993f"))
    assert self_test(header).returncode == 1


@needs_a_compiler
def test_columns_categories_and_labels_are_looked_up_by_name(tmp_path):
    predictor = predictor_of(TABLES["numbers and categories"], TARGETS["text"])
    to_c(predictor, tmp_path / "who.h")
    column = predictor.encoder.columns[0]
    texts = ["green", "never seen", '"?@\\*/é']
    literals = ['"green"', '"never seen"', '"\\"\\?@\\\\*/\\303\\251"']
    calls = " ".join(f'printf("%g ", who_category_0({literal}));' for literal in literals)
    (tmp_path / "names.c").write_text(
        '#include <stdio.h>\n#include "who.h"\nint main(void)\n{\n'
        f"    const float out[3] = {{0.2f, 0.5f, 0.3f}};\n    {calls}\n"
        '    printf("%s %s", who_column(0), who_label(who_class(out)));\n    return 0;\n}\n'
    )
    done = subprocess.run([compiled(tmp_path / "names.c")], capture_output=True, text=True, check=True)
    places = [column.categories.index(level) if level in column.categories else -1 for level in texts]
    assert done.stdout == " ".join(map(str, places)) + ' color b, "c"'


@needs_a_compiler
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_header_compiles_as_cplusplus(tmp_path):
    to_c(predictor_of(TABLES["numbers and categories"], TARGETS["text"]), tmp_path / "who.h", int8=True)
    options = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-DWHO_SELF_TEST", "-x", "c++"]
    program = tmp_path / "who"
    subprocess.run(["g++", *options, str(tmp_path / "who.h"), "-o", str(program)], check=True)
    assert subprocess.run([program], capture_output=True, check=False).returncode == 0


@needs_a_compiler
def test_the_quantization_error_is_reported(tmp_path):
    predictor, table = predictor_of(TABLES["numbers"], TARGETS["text"]), query_table("numbers")
    exact = to_c(predictor, tmp_path / "exact.h")
    quantized = to_c(predictor, tmp_path / "quantized.h", int8=True)
    assert exact.loss is None
    assert self_test(tmp_path / "quantized.h").returncode == 0
    given = run_header(tmp_path / "quantized.h", raw_rows(predictor, table), 3)
    difference = np.abs(given - predictions_of(predictor, table)).max()
    assert 1e-4 < quantized.loss < 0.02
    assert difference < 3 * quantized.loss
    assert f"{quantized.loss:.1e}" in (tmp_path / "quantized.h").read_text()


def test_golden_rows_contain_missing_cells(tmp_path):
    to_c(predictor_of(TABLES["numbers"], TARGETS["text"]), tmp_path / "who.h")
    golden = (tmp_path / "who.h").read_text().partition("golden_rows")[2].partition("}")[0]
    assert "NAN" in golden


def test_the_header_comment_documents_the_input(tmp_path):
    to_c(predictor_of(TABLES["all kinds"], TARGETS["text"]), tmp_path / "who.h")
    top = (tmp_path / "who.h").read_text().partition("*/")[0]
    assert "x[0] = days since 1970-01-01 in UTC" in top
    assert 'x[2] = who_category_2("text"), -1 if missing or unseen' in top


def test_a_file_name_becomes_a_valid_identifier(tmp_path):
    network = mlp(2, 3, 1, seed=0)
    for name, prefix in [("my-model.v2.h", "my_model_v2"), ("7.h", "n7"), ("é.h", "model")]:
        to_c(network, tmp_path / name)
        assert f"{prefix}_predict(" in (tmp_path / name).read_text()


def test_custom_layers_are_rejected_by_name(tmp_path):
    own = Activation(lambda Z: (Z, lambda dA: dA))
    with pytest.raises(ValueError, match=r"got Activation.* as layer 1"):
        to_c(Network([Dense(2, 2), own]), tmp_path / "net.h")

    class Own(Layer):
        def forward(self, X, params, rng=None):
            raise AssertionError("the export must not call it")

    assert Own not in LAYERS.values()
    with pytest.raises(ValueError, match=r"got Own.* as layer 1"):
        to_c(Network([Dense(2, 2), Own()]), tmp_path / "net.h")
    assert list(tmp_path.iterdir()) == []


def test_a_model_beyond_single_precision_is_not_written(tmp_path):
    network = mlp(2, 3, 1, seed=0, dtype="float64")
    network.theta = 1e39 * network.theta
    with (
        pytest.raises(ValueError, match=r"must match the model within 1e-05 .* got .* Float32 precision"),
        np.errstate(all="ignore"),
    ):
        to_c(network, tmp_path / "net.h")
    assert list(tmp_path.iterdir()) == []
