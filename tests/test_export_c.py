import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from chainrule import Activation, Dense, Layer, Network, mlp
from chainrule.data.columns import DateColumn
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.export import to_c
from chainrule.model.embeddings import LAYERS
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from chainrule.nn.losses import SquaredError
from exported import (
    NETWORKS,
    TABLES,
    TARGETS,
    calibrated,
    days_of,
    predictions_of,
    predictor_of,
    query_table,
    rows_for,
)

COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = [
    "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow",
    "-Wcast-qual", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wfloat-equal", "-Wdouble-promotion",
]  # fmt: skip
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
DRIVER = """
#include <stdio.h>
#define UPPER_IMPLEMENTATION
#include "NAME.h"
int main(void)
{
    double x[UPPER_N_IN];
    float out[UPPER_N_OUT];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        if (NAME_predict(x, out) == UPPER_OK) fwrite(out, sizeof out, 1, stdout);
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


CALIBRATED = """
#include <stdio.h>
#define MODEL_IMPLEMENTATION
#define MODEL_INTERVALS
#define MODEL_SETS
#include "model.h"
int main(void)
{
    static const float coverages[] = {COVERAGES};
    double x[MODEL_N_IN];
    unsigned i;
    while (fread(x, sizeof x, 1, stdin) == 1) {
        for (i = 0; i < sizeof coverages / sizeof *coverages; i++) {
            ANSWER
        }
    }
    return 0;
}
"""
COVERAGES = (0.05, 0.5, 0.7706, 0.9, 0.966, 0.995, 0.9991)


def calibrated_answers(predictor, table, directory, answer, dtype, *options):
    """Return what a program writes for each row and coverage, (n, coverages, ...)."""
    to_c(predictor, directory / "model.h")
    code = CALIBRATED.replace("COVERAGES", ", ".join(f"{c}f" for c in COVERAGES)).replace("ANSWER", answer)
    (directory / "use.c").write_text(code)
    X = raw_rows(predictor, table)
    done = subprocess.run([compiled(directory / "use.c", *options)], input=X.tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, dtype).reshape(len(X), len(COVERAGES), -1)


NUMBERS = {
    "quantiles": (NumberTarget("y", (5e4,), (1e3,)), None),
    "positive": (NumberTarget("y", (300.0,), (100.0,)), None),
    "logarithm": (NumberTarget("y", (3.0,), (0.7,), transform="log"), None),
    "several": (NumberTarget("y", (1.0, -50.0), (3.0, 4.0)), None),
    "one width": (NumberTarget("y", (0.0,), (1.0,)), SquaredError()),
}


@needs_a_compiler
@pytest.mark.parametrize("name", NUMBERS)
def test_intervals_match_the_predictor(name, tmp_path):
    predictor, table = calibrated(TABLES["all kinds"], *NUMBERS[name]), query_table("all kinds", 60)
    answer = """
            float low[MODEL_N_OUT], high[MODEL_N_OUT];
            if (model_interval(x, coverages[i], low, high) != MODEL_OK) return 1;
            fwrite(low, sizeof low, 1, stdout);
            fwrite(high, sizeof high, 1, stdout);"""
    given = calibrated_answers(predictor, table, tmp_path, answer, np.float32)
    expected = np.stack([predictor.predict_interval(table, coverage) for coverage in COVERAGES], axis=1)
    if expected.ndim == 4:
        expected = expected.swapaxes(2, 3).reshape(given.shape)  # all lower ends, then all upper ones
    finite = expected[np.isfinite(expected)]
    assert len(finite) > expected.size / 2
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5 * np.abs(finite).max())


@needs_a_compiler
def test_sets_match_the_predictor(tmp_path):
    target = ClassTarget("y", "str", ("a", "b", "c"), (0.2, 0.3, 0.5))
    predictor, table = calibrated(TABLES["all kinds"], target), query_table("all kinds", 60)
    answer = """
            unsigned char contained[MODEL_N_OUT];
            if (model_set(x, coverages[i], contained) != MODEL_OK) return 1;
            fwrite(contained, sizeof contained, 1, stdout);"""
    given = calibrated_answers(predictor, table, tmp_path, answer, np.uint8)
    for i, coverage in enumerate(COVERAGES):
        sets = [[label for label, one in zip(target.labels, row) if one] for row in given[:, i]]
        assert sets == [sorted(one) for one in predictor.predict_set(table, coverage)]
    assert len(set(given.sum(axis=2).ravel())) > 1


@needs_a_compiler
def test_a_coverage_must_be_strictly_between_0_and_1(tmp_path):
    predictor = calibrated(TABLES["numbers"], NUMBERS["quantiles"][0])
    answer = """
            float low[1], high[1];
            const int wrong = model_interval(x, 1.0f, low, high) + 10 * model_interval(x, 0.0f, low, high);
            const unsigned char right = wrong == 11 * MODEL_NOT_A_COVERAGE && low[0] != low[0] && high[0] != high[0];
            fwrite(&right, 1, 1, stdout);"""
    answers = calibrated_answers(predictor, query_table("numbers", 2), tmp_path, answer, np.uint8, "-Wno-float-equal")
    assert answers.all()


def test_intervals_share_the_weights_of_the_predictions(tmp_path):
    to_c(calibrated(TABLES["all kinds"], NUMBERS["quantiles"][0]), tmp_path / "model.h")
    arrays = re.findall(
        r"MODEL_WEIGHTS float model_(?:member|quantiles)\w+\[\d+\] = \{(.*?)\}",
        (tmp_path / "model.h").read_text(),
        re.S,
    )
    assert len(arrays) == len(set(arrays)) > 10


@needs_a_compiler
def test_a_program_without_intervals_has_no_code_or_weights_for_them(tmp_path):
    predictor = calibrated(TABLES["numbers"], NUMBERS["quantiles"][0])
    plain = Predictor(predictor.encoder, replace(predictor.ensemble, scores=None, contrast=None), predictor.target)
    objects = []
    for name, model in ("calibrated", predictor), ("plain", plain):
        (tmp_path / name).mkdir()
        to_c(model, tmp_path / name / "model.h")
        command = [COMPILER, *FLAGS, "-DMODEL_IMPLEMENTATION", "-x", "c", "-S", "-o", "-", "model.h"]
        objects.append(subprocess.run(command, cwd=tmp_path / name, capture_output=True, check=True).stdout)
    assert objects[0] == objects[1]


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
        includes.append(f'#define NET{k}_IMPLEMENTATION\n#include "net{k}.h"')
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
static void run(const char *name, int (*predict)(const float *, float *), int n_in, int n_out)
{
    float x[64], out[64];
    char path[64];
    FILE *rows, *predictions;
    strcat(strcpy(path, name), ".rows");
    rows = fopen(path, "rb");
    strcat(strcpy(path, name), ".predictions");
    predictions = fopen(path, "wb");
    while (fread(x, sizeof(float), (size_t)n_in, rows) == (size_t)n_in) {
        if (predict(x, out) == 0) fwrite(out, sizeof(float), (size_t)n_out, predictions);
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
    assert "#define RAW_REAL float" in (tmp_path / "raw.h").read_text()
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
        '#include <stdio.h>\n#define WHO_IMPLEMENTATION\n#include "who.h"\nint main(void)\n{\n'
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


def test_the_header_comment_documents_input_and_output(tmp_path):
    predictor = predictor_of(TABLES["all kinds"], TARGETS["text"])
    predictor.metadata["columns"] = [{"name": "height", "kind": "number", "min": 150.5, "max": 190.0}]
    to_c(predictor, tmp_path / "who.h")
    top = (tmp_path / "who.h").read_text().partition("*/")[0]
    assert "[0] WHO_BORN    date      days since 1970-01-01 in UTC" in top
    assert re.search(r'\[3\] WHO_SEX     category  0 f, 1 m; or who_category_3\("text"\); -1 if unknown', top)
    assert "[6] WHO_HEIGHT  number    150.5 to 190, NAN if missing (some were in training)" in top
    assert "[7] WHO_WEIGHT  number    NAN if missing (none was in training)" in top
    assert 'probabilities of 0 a, 1 b, "c", 2 ü' in top


def test_a_comment_is_not_ended_by_a_name(tmp_path):
    table = {"*/ int x; /*": ["*/", "/* \\\n", "??/"] * 9, "line\nbreak": np.arange(27.0)}
    to_c(predictor_of(table, ["*/", "b", "c"] * 9), tmp_path / "odd.h")
    top = (tmp_path / "odd.h").read_text().partition("#ifndef")[0]
    assert top.count("*/") == top.count("/*") == 1
    if COMPILER:
        assert self_test(tmp_path / "odd.h").returncode == 0


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


STATUS = """
#include <stdio.h>
#define UPPER_IMPLEMENTATION
#include "NAME.h"
int main(void)
{
    static const UPPER_REAL usual[] = {USUAL};
    static const int columns[] = {COLUMNS};
    static const UPPER_REAL cells[] = {CELLS};
    UPPER_REAL x[UPPER_N_IN];
    float out[UPPER_N_OUT];
    unsigned i, k;
    for (i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        for (k = 0; k < UPPER_N_IN; k++) x[k] = usual[k];
        x[columns[i]] = cells[i];
        k = (unsigned)NAME_predict(x, out);
        printf("%d %d\\n", (int)k, isnan(out[0]) ? 1 : 0);
    }
    return 0;
}
"""


def statuses(header, usual, cells):
    """Return the status of a usual row with each cell (column, text) in it, and whether the output is NaN."""
    name = header.stem
    text = STATUS.replace("NAME", name).replace("UPPER", name.upper()).replace("USUAL", ", ".join(usual))
    text = text.replace("COLUMNS", ", ".join(str(k) for k, _ in cells))
    source = header.with_name(f"status_{name}.c")
    source.write_text(text.replace("CELLS", ", ".join(cell for _, cell in cells)))
    done = subprocess.run([compiled(source, "-Wno-missing-prototypes")], capture_output=True, text=True, check=True)
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


@needs_a_compiler
def test_the_status_names_the_cell_that_is_not_valid(tmp_path):
    predictor = predictor_of(TABLES["all kinds"], TARGETS["text"])
    to_c(predictor, tmp_path / "who.h")
    usual = ["9000", "19800.5", "1", "0", "0", "2", "171", "70"]
    valid = [(0, "NAN"), (0, "-719162"), (2, "-1"), (2, "3"), (2, "NAN"), (6, "NAN"), (6, "1e300"), (7, "-5")]
    wrong = [
        (0, "1.6e9"), (0, "-800000"), (1, "INFINITY"), (2, "4"), (2, "-2"), (2, "0.5"), (3, "INFINITY"),
        (5, "-INFINITY"), (6, "INFINITY"), (7, "-INFINITY"),
    ]  # fmt: skip
    given = statuses(tmp_path / "who.h", usual, valid + wrong)
    assert given[: len(valid)] == [(0, 0)] * len(valid)
    assert given[len(valid) :] == [(k + 1, 1) for k, _ in wrong]


@needs_a_compiler
@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("relu", "squared_error"),
        ("step", "cross_entropy"),
        ("sigmoid", "squared_error"),
        ("tanh", "binary_cross_entropy"),
        ("tanh", "poisson"),
    ],
)
def test_nan_in_a_raw_column_is_never_answered(activation, loss, tmp_path):
    to_c(mlp(3, 8, 2, activation=activation, loss=loss, seed=0), tmp_path / "net.h")
    cells = [(0, "NAN"), (1, "INFINITY"), (2, "-INFINITY"), (2, "3")]
    assert statuses(tmp_path / "net.h", ["1", "1", "1"], cells) == [(1, 1), (2, 1), (3, 1), (0, 0)]


@needs_a_compiler
def test_numbers_beyond_the_range_of_floats_are_not_answered(tmp_path):
    networks = {"nan": mlp(1, 8, 8, 1, activation="relu", seed=0), "inf": Network([Dense(1, 1)])}
    networks["inf"].theta = np.array([2.0, 0.0])
    for name, network in networks.items():
        to_c(network, tmp_path / f"{name}.h")
        assert statuses(tmp_path / f"{name}.h", ["1"], [(0, "3.4e38f"), (0, "1e3f")]) == [(-1, 1), (0, 0)]


@needs_a_compiler
def test_a_missing_category_may_be_nan(tmp_path):
    predictor = predictor_of(TABLES["many categories"], TARGETS["text"])
    to_c(predictor, tmp_path / "who.h")
    X = raw_rows(predictor, query_table("many categories", 50))
    codes = [column.source == "categories" for column in predictor.encoder.columns]
    with_nan = np.where((X == -1) & codes, np.nan, X)
    assert np.isnan(with_nan[:, codes]).any()
    np.testing.assert_array_equal(run_header(tmp_path / "who.h", with_nan, 3), run_header(tmp_path / "who.h", X, 3))


@needs_a_compiler
def test_the_weights_exist_once_in_a_program_of_several_files(tmp_path):
    to_c(predictor_of(TABLES["numbers"], TARGETS["text"]), tmp_path / "who.h", int8=True)
    user = '#include "who.h"\nint ask{k}(const WHO_REAL *x, float *out);\n'
    user += "int ask{k}(const WHO_REAL *x, float *out) {{ return who_predict(x, out) + who_class(out); }}\n"
    for k in (1, 2):
        (tmp_path / f"user{k}.c").write_text(user.format(k=k))
    (tmp_path / "model.c").write_text(
        '#include "who.h"\n#define WHO_IMPLEMENTATION\n#include "who.h"\n#include "who.h"\n'
    )
    (tmp_path / "main.c").write_text(
        "int ask1(const double *, float *), ask2(const double *, float *);\n"
        "int main(void) { double x[2] = {170, 70}; float out[3]; return ask1(x, out) - ask2(x, out); }\n"
    )
    subprocess.run([COMPILER, *FLAGS, "-c", "user1.c", "user2.c", "model.c", "main.c"], cwd=tmp_path, check=True)
    sizes = {path.stem: path.stat().st_size for path in tmp_path.glob("*.o")}
    assert sizes["user1"] < sizes["model"] / 3
    objects = [f"{name}.o" for name in sizes]
    subprocess.run([COMPILER, *objects, "-o", "program", "-lm"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "program"], check=False).returncode == 0


@needs_a_compiler
def test_indices_have_names_and_lookups_of_nothing_are_safe(tmp_path):
    table = {
        "N in": [1.0, 2, 3, 4] * 5,
        "a b": ["x", "y?", "y!", "é"] * 5,
        "a-b": ["1", "2", "1", "2"] * 5,
        "ü": [1.5, 2, 3, 4] * 5,
    }
    to_c(predictor_of(table, ["no", "yes"] * 10), tmp_path / "odd.h")
    (tmp_path / "names.c").write_text(
        """#include <stdio.h>
#define ODD_IMPLEMENTATION
#include "odd.h"
int main(void)
{
    const float nothing[2] = {NAN, NAN};
    printf("%d %d %d %d ", ODD_N_IN_2, ODD_A_B, ODD_A_B_2, ODD_COLUMN_3);
    printf("%d %d %d ", ODD_A_B_X, ODD_A_B_Y_2, ODD_CLASS_YES);
    printf("%g %g ", (double)odd_category_1("y?"), (double)odd_category_1(0));
    printf("%d %d %d %d", odd_class(nothing), odd_label(-1) == 0, odd_label(2) == 0, odd_column(4) == 0);
    return 0;
}"""
    )
    done = subprocess.run([compiled(tmp_path / "names.c")], capture_output=True, text=True, check=True)
    assert done.stdout == "0 1 2 3 0 2 1 2 -1 -1 1 1 1"


@needs_a_compiler
def test_dates_become_days(tmp_path):
    to_c(predictor_of(TABLES["all kinds"], TARGETS["text"]), tmp_path / "who.h")
    dates = [
        "0001-01-01 00:00:00",
        "1900-03-01 12:00:00",
        "1970-01-01 00:00:00",
        "2000-02-29 06:30:15",
        "2024-12-31 23:59:59",
    ]
    calls = [f"who_days({', '.join(str(int(part)) for part in re.split('[- :]', date))})" for date in dates]
    calls.append("who_days_of_unix(1.6e9)")
    lines = "".join(f'    printf("%.9f ", {call});\n' for call in calls)
    (tmp_path / "dates.c").write_text(
        '#include <stdio.h>\n#define WHO_IMPLEMENTATION\n#include "who.h"\n'
        f"int main(void)\n{{\n{lines}    return 0;\n}}\n"
    )
    done = subprocess.run([compiled(tmp_path / "dates.c")], capture_output=True, text=True, check=True)
    expected = [*map(days_of, dates), 1.6e9 / 86400]
    np.testing.assert_allclose(list(map(float, done.stdout.split())), expected, rtol=0, atol=1e-8)


@needs_a_compiler
def test_cells_may_be_floats_where_the_columns_allow_it(tmp_path):
    to_c(predictor_of(TABLES["many categories"], TARGETS["numbers"], n_bins=3), tmp_path / "who.h")
    program = compiled(tmp_path / "who.h", "-DWHO_REAL=float", "-DWHO_SELF_TEST", "-x", "c")
    assert subprocess.run([program], check=False, capture_output=True).returncode == 0
    program.unlink()
    options = ["-DWHO_REAL=float", "-DWHO_IMPLEMENTATION", "-c", "-x", "c", str(tmp_path / "who.h"), "-o", str(program)]
    subprocess.run([COMPILER, *FLAGS, *options], check=True)
    if nm := shutil.which("nm"):
        used = subprocess.run([nm, "-u", program], capture_output=True, text=True, check=True).stdout.split()
        assert {"floor", "sqrt", "sin", "cos"}.isdisjoint(used)
        assert "sqrtf" in used


@needs_a_compiler
def test_fast_math_is_refused(tmp_path):
    to_c(mlp(2, 3, 1, seed=0), tmp_path / "net.h")
    command = [
        COMPILER,
        "-ffast-math",
        "-DNET_SELF_TEST",
        "-x",
        "c",
        str(tmp_path / "net.h"),
        "-o",
        str(tmp_path / "net"),
    ]
    done = subprocess.run([*command, "-lm"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "-ffast-math breaks NAN" in done.stderr


@needs_a_compiler
@pytest.mark.parametrize("name", ["net", "who"])
def test_the_stack_is_as_stated(name, tmp_path):
    model = predictor_of(TABLES["many categories"], TARGETS["text"]) if name == "who" else NETWORKS["layer Residual"]()
    to_c(model, tmp_path / f"{name}.h")
    stated = int(re.search(r"arrays of\s+([\d,]+) bytes", (tmp_path / f"{name}.h").read_text())[1].replace(",", ""))
    options = [
        f"-D{name.upper()}_IMPLEMENTATION",
        "-fstack-usage",
        "-Os",
        "-c",
        "-x",
        "c",
        f"{name}.h",
        "-o",
        f"{name}.o",
    ]
    subprocess.run([COMPILER, *FLAGS, *options], cwd=tmp_path, check=True)
    usage = {}
    for line in (tmp_path / f"{name}.su").read_text().splitlines():
        function, n_bytes, kind = line.rpartition(":")[2].split("\t")
        usage[function] = int(n_bytes)
        assert kind in ("static", "dynamic,bounded"), line
    members = [n_bytes for function, n_bytes in usage.items() if "_member_" in function]
    deepest = usage[f"{name}_predict"] + max(members, default=0)
    assert stated <= deepest <= stated + 256


@needs_a_compiler
def test_the_quantization_error_is_measured_on_given_rows(tmp_path):
    """Where columns are far from standard normal, synthetic rows say little."""
    network = mlp(64, 32, 2, loss="cross_entropy", seed=0)
    X = np.random.default_rng(0).integers(0, 17, (50, 64)).astype(np.float32)
    synthetic, real = (
        to_c(network, tmp_path / "a.h", int8=True).loss,
        to_c(network, tmp_path / "b.h", int8=True, rows=X),
    )
    driver = DRIVER.replace("double x", "float x").replace("NAME", "b").replace("UPPER", "B")
    (tmp_path / "driver.c").write_text(driver)
    done = subprocess.run([compiled(tmp_path / "driver.c")], input=X.tobytes(), capture_output=True, check=True)
    given = np.frombuffer(done.stdout, np.float32).reshape(-1, 2)
    assert real.loss == pytest.approx(np.abs(given - network(X)).max(), rel=1e-2)
    assert real.loss > 2 * synthetic
    assert f"largest difference this causes on 50 given rows: {real.loss:.1e}" in (tmp_path / "b.h").read_text()


ARM, QEMU = shutil.which("arm-none-eabi-gcc"), shutil.which("qemu-system-arm")
START = """
extern void _start(void);
__attribute__((section(".vectors"), used)) static void *const vectors[] = {(void *)0x20400000, (void *)_start};
"""


@pytest.mark.skipif(not (ARM and QEMU), reason="there is no arm-none-eabi-gcc, or no qemu-system-arm")
@pytest.mark.parametrize("real", ["double", "float"])
def test_it_runs_on_a_microcontroller(real, tmp_path):
    """On an emulated Cortex-M4 without a unit for floating-point numbers."""
    to_c(predictor_of(TABLES["numbers and categories"], TARGETS["text"], n_bins=3), tmp_path / "who.h", int8=True)
    (tmp_path / "start.c").write_text(START)
    (tmp_path / "test.c").write_text(f'#define WHO_REAL {real}\n#define WHO_SELF_TEST\n#include "who.h"\n')
    flags = [flag for flag in FLAGS if flag != "-pedantic"]
    target = ["-Os", "-mcpu=cortex-m4", "-mthumb", "--specs=rdimon.specs", "-Wl,--section-start=.vectors=0"]
    command = [ARM, *flags, *target, "test.c", "start.c", "-o", "test.elf", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    machine = ["-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"]
    semihosting = ["-semihosting-config", "enable=on,target=native", "-kernel", "test.elf"]
    done = subprocess.run(
        [QEMU, *machine, *semihosting], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ golden rows: largest difference \d\.\de-\d\d, 0 wrong predictions\n", done.stdout)
