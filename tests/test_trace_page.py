"""The page is self-contained, and it highlights exactly the quantities that a weight affects."""

import json
import re
import shutil
import subprocess
import sys
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from chainrule import (
    Activation,
    Adam,
    BatchNorm,
    Dense,
    LayerNorm,
    MissingExtraError,
    Network,
    Residual,
    Scale,
    mlp,
    trace,
)
from chainrule.insight.trace.paths import paths

VOID = {"meta", "input"}


class Page(HTMLParser):
    """The tags of a page; it is an error if one is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def cells(self, name):
        return [attrs for tag, attrs in self.tags if tag == "td" and attrs.get("data-q") == name]


@pytest.fixture(scope="module")
def step():
    rng = np.random.default_rng(0)
    layers = [
        Dense(3, 3),
        Activation("tanh"),
        LayerNorm(3),
        Dense(3, 3),
        Scale(3),
        Residual([Dense(3, 3)]),
        Dense(3, 2),
    ]
    net = Network(layers, "cross_entropy", seed=0, l2=0.1, dtype="float64")
    net.theta += 0.1 * rng.normal(size=net.theta.shape)
    return trace(net, rng.normal(size=(2, 3)), [0, 1], Adam(0.1))


def test_the_page_is_self_contained(step):
    text = step.to_html()
    page = Page(text)
    assert "http" not in text
    assert not {"src", "href"} & {name for _, attrs in page.tags for name in attrs}
    assert "url(" not in text
    assert "@import" not in text
    assert "fetch(" not in text
    assert "prefers-color-scheme: dark" in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_names_are_escaped(rng):
    step = trace(mlp(1, 1, seed=0), [[1.0]], [0.0], columns=["<b>a & b</b>"])
    assert "columns of X: &lt;b&gt;a &amp; b&lt;/b&gt;" in step.to_html()


def test_without_jinja2_a_notebook_shows_the_text_and_the_page_names_the_extra(step, monkeypatch):
    assert "<iframe" in step._repr_html_()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert step._repr_html_() is None
    with pytest.raises(MissingExtraError, match=r"writing a page .*pip install 'chainrule\[cli\]'"):
        step.to_html()


@pytest.mark.parametrize("notation", ["row", "column"])
def test_every_quantity_has_values_in_both_notations(notation, step):
    page = Page(step.to_html(notation))
    checked = [attrs["value"] for tag, attrs in page.tags if tag == "input" and "checked" in attrs]
    assert checked == [notation]
    for quantity in step:
        cells = page.cells(quantity.name)
        assert len(cells) == 2 * quantity.values.size
        grid = quantity.grid("row")
        for cell in cells:
            value = grid[int(cell["data-i"]), int(cell["data-j"])]
            assert float(cell["data-v"]) == pytest.approx(value, rel=1e-5)


def test_every_parameter_is_one_tab_stop_in_each_notation(step):
    page = Page(step.to_html())
    for quantity in step:
        stops = [cell.get("tabindex") for cell in page.cells(quantity.name)]
        if any(other.derivative_of == quantity.name and other.kind == "gradient" for other in step):
            assert stops.count("0") == 2
            assert set(stops) <= {"0", "-1"}
            assert all("aria-label" in cell for cell in page.cells(quantity.name))
        else:
            assert set(stops) == {None}


def highlighted(place, shape, k, j):
    """Return a mask of the entries of a quantity that are highlighted for entry (k, j) of a parameter."""
    rows, columns = np.indices(shape)
    lit = {"j": columns == j, "k": columns == k, "r": rows == j, "e": (rows == k) & (columns == j)}
    return lit.get(place, np.full(shape, True))


def test_entries_that_depend_on_a_weight_are_highlighted(step):
    """Every entry that changes is highlighted, and every highlighted quantity has an entry that changes."""
    values = {quantity.name: quantity.values for quantity in step}
    for quantity in step:  # to compare values of the same terms to the last bit
        if quantity.kind in ("forward", "loss"):
            values[quantity.name] = quantity.recompute(values)
    for path in paths(step):
        parameter = path.parameter
        for k, j in np.ndindex(*parameter.grid("row").shape):
            now = dict(values)
            moved = parameter.grid("row").copy()
            moved[k, j] += 1e-3
            now[parameter.name] = moved.reshape(parameter.shape)
            for quantity in step:
                if quantity.kind not in ("forward", "loss"):
                    continue
                now[quantity.name] = quantity.recompute(now)
                changed = np.atleast_2d(now[quantity.name] != values[quantity.name])
                if not changed.any():
                    assert path.lit.get(quantity.name, "k") == "k", (
                        "only the input of a layer is highlighted without changing"
                    )
                    continue
                lit = highlighted(path.lit[quantity.name], changed.shape, k, j)
                assert not (changed & ~lit).any(), (
                    f"{quantity.name} changes with {parameter.name}[{k}, {j}] but is not highlighted"
                )
                if path.lit[quantity.name] == "j":
                    assert changed[:, j].all()


def test_the_product_of_the_factors_summed_over_rows_is_the_gradient(step):
    count = 0
    for path in paths(step):
        for k, j in np.ndindex(*path.parameter.grid("row").shape):
            product = np.ones(step.n_rows)
            for factor in path.factors:
                if factor.name:
                    product = product * step[factor.name].values[:, {"k": k, "j": j}[factor.place]]
            penalty = 0.1 * path.parameter.grid("row")[k, j] if path.parameter.name in path.gradient.sources else 0
            assert product.sum() + penalty == pytest.approx(path.gradient.grid("row")[k, j], rel=1e-10, abs=1e-14)
            count += 1
    assert count == sum(path.parameter.values.size for path in paths(step))


def test_the_first_factor_of_a_hidden_weight_is_a_sum_over_branches(rng):
    step = trace(mlp(2, 3, 2, activation="sigmoid", seed=0), [[0.1, 0.2]], [[0.0, 1.0]])
    path = next(path for path in paths(step) if path.parameter.name == "W1")
    assert [factor.name for factor in path.factors] == ["da1", "slope z1", "X"]
    assert path.branches == ("delta2", "W2")
    delta, W = (step[name].values for name in path.branches)
    np.testing.assert_allclose(step["da1"].values, delta @ W.T)


def test_everything_that_may_depend_on_a_custom_layer_is_highlighted(rng):
    def cube(Z):
        return Z**3, lambda dA: 3 * dA * Z**2

    step = trace(Network([Dense(2, 3), Activation(cube), Dense(3, 1)], seed=0), rng.normal(size=(2, 2)), [0.0, 1.0])
    path = next(path for path in paths(step) if path.parameter.name == "W1")
    assert path.lit["z1"] == "j"
    assert path.lit["o1"] == "a"
    Page(step.to_html())


def test_batch_norm_in_training_mode_has_a_page(rng):
    net = Network([BatchNorm(3), Dense(3, 2)], "cross_entropy", seed=0)
    Page(trace(net, rng.normal(size=(4, 3)), [0, 1, 1, 0], rng=rng).to_html())


def test_the_page_of_a_large_network_is_abridged(rng):
    net = mlp(200, 100, 10, loss="cross_entropy", seed=0)
    text = trace(net, rng.normal(size=(64, 200)), rng.integers(0, 10, 64)).to_html()
    assert len(text) < 500_000
    assert len(Page(text).cells("W1")) == 2 * 7 * 7


def test_the_paths_are_json(step):
    text = step.to_html()
    documents = json.loads(re.search(r'id="paths">(.*?)</script>', text, re.DOTALL)[1])
    assert set(documents) == {path.parameter.name for path in paths(step)}
    names = {quantity.name for quantity in step}
    for document in documents.values():
        assert document["gradient"] in names
        assert set(document["lit"]) <= names
        assert all(name in names | {""} for _, name, _, _ in document["factors"])


# In a browser, if one is installed.

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCRIPT = """
const inspect = frame => {
  const page = frame.contentDocument;
  const point = td => td.dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
  point(page.querySelector('.row td[data-q="W1"][data-i="1"][data-j="2"]'));
  const lit = [...page.querySelectorAll(".row td.on")].map(td => [td.dataset.q, td.dataset.i, td.dataset.j]);
  const text = page.getElementById("chain").textContent;
  const overflow = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  point(page.querySelector("h1"));
  const remaining = page.querySelectorAll("td.on").length;
  const shown = () => ["row", "column"].filter(name => page.querySelector("." + name).offsetParent);
  const before = shown();
  page.querySelector("input:not(:checked)").click();
  return {lit, text, overflow, remaining, notations: [before, shown()]};
};
addEventListener("load", () => {
  document.body.textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(inspect));
});
"""


def inspect(folder, pages):
    """Return what a browser shows of each page at its width while the pointer is on a weight."""
    frames = "".join(f'<iframe srcdoc="{escape(page)}" style="width: {width}px"></iframe>' for page, width in pages)
    file = folder / "inspect.html"
    file.write_text(f'<meta charset="utf-8"><body>{frames}<script>{SCRIPT}</script>', encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run([*command, "--dump-dom", file.as_uri()], capture_output=True, timeout=60, check=True)
    return json.loads(re.search(r"<body>(.*)</body>", done.stdout.decode(), re.DOTALL)[1])


@pytest.fixture(scope="module")
def shown(step, tmp_path_factory):
    """What a browser shows of several pages, by their names: a browser takes a second to start."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    pages = {
        "narrow": (step.to_html(), 390),
        "wide": (step.to_html(), 1280),
        "exercise": (step.exercise(["dW1"]).to_html(), 1280),
        **{n: (trace_of_outputs(n).to_html(), 1280) for n in (8, 9)},
    }
    return dict(zip(pages, inspect(tmp_path_factory.mktemp("pages"), pages.values()), strict=True))


def trace_of_outputs(n):
    rng = np.random.default_rng(0)
    return trace(mlp(2, 3, n, activation="tanh", seed=0), rng.normal(size=(1, 2)), rng.normal(size=(1, n)))


def test_a_browser_highlights_the_path_of_a_weight_without_overflow(step, shown):
    path = next(path for path in paths(step) if path.parameter.name == "W1")
    expected = {
        (name, str(i), str(j))
        for name, place in path.lit.items()
        for i, j in np.argwhere(highlighted(place, step[name].grid("row").shape, k=1, j=2)).tolist()
    }
    for width in ("narrow", "wide"):
        seen = shown[width]
        assert {tuple(cell) for cell in seen["lit"]} == expected
        assert f"= {step['dW1'].values[1, 2]:.4g}".replace("-", "−") in seen["text"]
        assert seen["text"].count("row") == step.n_rows
        assert (seen["overflow"], seen["remaining"]) == (0, 0)
        assert seen["notations"] == [["row"], ["column"]]


@pytest.mark.parametrize(("n_out", "abridged"), [(8, False), (9, True)])
def test_a_browser_shows_an_ellipsis_for_omitted_branches(n_out, abridged, shown):
    assert shown[n_out]["text"].endswith("…") == abridged


def test_a_browser_does_not_reveal_a_blank(shown):
    seen = shown["exercise"]
    assert re.search(r"= \?row 1", seen["text"])
    assert re.search(r"= \?row 2", seen["text"])
    assert ("dW1", "1", "2") in {tuple(cell) for cell in seen["lit"]}
