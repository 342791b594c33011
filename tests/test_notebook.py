"""What a notebook shows: cards of networks and results, one bar of progress, and one figure a call."""

import inspect
import io
import pickle
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule
from chainrule import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    KeepBest,
    Layer,
    Network,
    TabularEncoder,
    TabularRegressor,
    check_gradients,
    diagnose,
    mlp,
    trace,
    train,
)
from chainrule.live import LiveLine

X = np.random.default_rng(0).normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)


class Doubled(Layer):
    """A layer whose derivative is wrong."""

    def forward(self, X, params, rng=None):
        return 2 * X, lambda dY, grads, need_dX=True: dY


@pytest.fixture(scope="module")
def shown():
    """Objects that people look at, by name."""
    net = Network(
        [Dense(2, 30), BatchNorm(30), Activation("tanh"), Dropout(0.1), Dense(30, 2)], "cross_entropy", seed=0
    )
    history = train(net, X, Y, epochs=4, validation=(X, Y), metrics=["accuracy"], callbacks=EarlyStopping(), seed=0)
    table = {"size": X[:, 0], "city": np.where(Y, "Ulm", "<Bonn>"), "same": [1] * 40}
    model = TabularRegressor(epochs=1, n_folds=2, random_state=0).fit(table, X[:, 1])
    wrong = Network([Dense(2, 2), Doubled(), Dense(2, 2)], "cross_entropy", seed=0)
    return {
        "network": net,
        "history": history,
        "gradients": check_gradients(net, X, Y),
        "wrong gradients": check_gradients(wrong, X, Y),
        "diagnosis": diagnose(net, 1000 * X, Y, history),
        "no problems": type(diagnose(net, X, Y))(),
        "encoder": model.encoder_,
        "predictor": model.predictor_,
        "explanation": model.explain(table),
        "explanation of a row": model.explain({name: cells[:1] for name, cells in table.items()}),
        "model": model,
    }


def text_of(html):
    """Return the text of a card, which is well-formed, without its style."""
    root = ElementTree.fromstring(html)
    root.remove(root.find("style"))
    return " ".join(" ".join(root.itertext()).split())


def test_cards_have_what_is_worth_looking_at(shown):
    text = {name: text_of(item._repr_html_()) for name, item in shown.items() if name != "model"}
    assert text["network"].startswith("Network 2 → 2, 212 parameters, float32, loss CrossEntropy(label_smoothing=0.0)")
    assert "0 Dense (2, 30) W 2 × 30, b 30 (n, 30) 90 1 BatchNorm (30) gamma 30, beta 30 (n, 30) 60" in text["network"]
    best = shown["history"].best_epoch + 1
    assert re.match(
        rf"History 4 epochs in \S+ s, restored the weights of epoch {best} loss validation", text["history"]
    )
    assert "validation accuracy" in text["history"]
    assert text["gradients"].startswith("✓ Gradients agree largest error")
    assert text["wrong gradients"].startswith("✗ Gradients are wrong most of all in 0.")
    assert re.match(r"✗ \d+ problems? the most harmful first .*unscaled inputs", text["diagnosis"])
    assert text["no problems"] == "✓ No problems found"
    assert text["encoder"].startswith("TabularEncoder 2 columns → 2 network inputs")
    assert "city category 1 city=Ulm same left out constant" in text["encoder"]
    assert text["predictor"].startswith("Predictor of y regression from 2 columns 2 networks, ")
    assert "trained on 40 rows" in text["predictor"]
    assert text["explanation of a row"].startswith("Explanation y in row 1: ")
    assert text_of(TabularEncoder()._repr_html_()) == "TabularEncoder not fitted"
    assert text_of(History()._repr_html_()) == "History 0 epochs in 0 s"


def test_the_diagram_of_a_network_is_as_wide_as_its_layers(shown):
    pictures = list(ElementTree.fromstring(shown["network"]._repr_html_()).iter("svg"))
    units = [[shape.get("class") for shape in picture].count("unit") for picture in pictures]
    assert units == [2, 1, 1, 1, 1, 2]  # inputs, three layers of 30 units as bars, outputs
    widths = [float(bar.get("width")) for picture in pictures for bar in picture.iter("rect")]
    assert widths == [136.0] * 4
    assert [len(list(picture.iter("path"))) for picture in pictures] == [0, 1, 0, 0, 0, 1]


def test_an_estimator_shows_its_model_below_the_diagram_of_scikit_learn(shown):
    html = shown["model"]._repr_mimebundle_()["text/html"]
    assert "sk-top-container" in html
    assert html.endswith(shown["predictor"]._repr_html_())
    assert "Predictor" not in TabularRegressor()._repr_html_()


def results(shown):
    """Yield objects of all public classes that can be made without arguments, and the results of functions."""
    for name in chainrule.__all__:
        public = getattr(chainrule, name)
        if inspect.isclass(public) and not inspect.isabstract(public) and not issubclass(public, Exception):
            required = [p for p in inspect.signature(public).parameters.values() if p.default is p.empty]
            if not required:
                yield public()
    yield from shown.values()
    yield from (shown["history"], shown["predictor"].ensemble, shown["predictor"].target, *shown["encoder"].columns)
    step = trace(mlp(2, 2, 1, seed=0), X[:1], [[1.0]])
    yield from (step, step["z1"], step.verify(), step.exercise(1), *shown["network"].blocks, shown["network"].plan)
    yield from (chainrule.TimeLimit(3), chainrule.Checkpoint("run"), *chainrule.metrics.METRICS.values())
    yield mlp(2, 2, 1, activation=np.tanh, loss=lambda Z, Y: (Z - Y, Z), seed=0)


def test_nothing_is_shown_as_an_address_in_memory(shown):
    for item in results(shown):
        assert not re.search(r" at 0x[0-9a-f]+>", repr(item)), type(item)
    assert repr(KeepBest("loss")) == "KeepBest(metric='loss', min_delta=0.0)"
    assert repr(TabularEncoder(max_indexed=9)).startswith("TabularEncoder(categories=(), max_categories=50, max_index")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_live_line_is_updated_in_place_on_a_terminal_and_written_anew_elsewhere(monkeypatch, capsys):
    out = Terminal()
    line = LiveLine(out)
    line.show(0.5, "half of it")
    line.show(1.0, "done")
    line.end()
    assert out.getvalue() == "\r[##########----------] half of it\r[####################] done      \n"
    again = pickle.loads(pickle.dumps(line))  # for another process
    again.show(0.25, "a quarter")
    again.end()
    assert capsys.readouterr().err == "[#####---------------] a quarter\n"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_members_of_a_model_share_one_line_that_says_which_is_trained(n_jobs, monkeypatch):
    out = Terminal()
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setattr("chainrule.live._SECONDS_IN_PLACE", 0.0)
    TabularRegressor(quality="fast", n_folds=2, epochs=2, n_jobs=n_jobs, verbose=True).fit({"size": X[:, 0]}, X[:, 1])
    lines = out.getvalue().split("\r")
    assert out.getvalue().count("\n") == 1
    assert {int(k) for k in re.findall(r"member (\d): epoch", out.getvalue())} == {1, 2, 3, 4}
    assert all(re.match(r"\[[#-]{20}\] [0-4] of 4 members trained", line) for line in lines[1:])
    assert lines[-1].startswith(f"[{'#' * 20}] 4 of 4 members trained, ")


CELLS = [
    "%matplotlib inline\nimport numpy as np\nfrom chainrule import TabularRegressor, mlp, train\n"
    "from chainrule.viz import draw_network\nX = np.linspace(-1, 1, 40)[:, None]\nnet = mlp(1, 3, 1, seed=0)",
    "history = train(net, X, X, epochs=3, progress=True)",
    "model = TabularRegressor(quality='fast', n_folds=2, epochs=2, n_jobs=2, verbose=True)\n"
    "model.fit({'x': X[:, 0]}, X[:, 0]).notices_",
    "net",
    "history.plot()",
    "ax = draw_network(net)",
    "ax",
]


def test_a_notebook_shows_one_bar_cards_and_one_figure_a_call(monkeypatch):
    nbclient, nbformat = (pytest.importorskip(module) for module in ("nbclient", "nbformat"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    _, training, members, network, *figures = (cell.outputs for cell in notebook.cells)
    (bar,) = training
    assert '<progress value="1.000"' in bar.data["text/html"]
    assert "epoch 3/3  loss" in bar.data["text/plain"]
    assert members[0].data["text/plain"].startswith(f"[{'#' * 20}] 4 of 4 members trained")
    assert [output.output_type for output in members] == ["display_data", "execute_result"]
    assert 'class="chainrule"' in network[0].data["text/html"]
    for outputs in figures:
        assert [set(output.data) for output in outputs] == [{"image/png", "text/plain"}]
        assert "<Axes" not in outputs[0].data["text/plain"]
