"""The templates of pages, which share a base and a stylesheet."""

import sys

import pytest

from chainrule import MissingExtraError
from chainrule.pages import render


def report(*blocks):
    """Return a report with a single section of these blocks, each a kind and its contents."""
    sections = [("A & B", "a", list(blocks))]
    return render(
        "report.html", title="<b>price</b> from a & b.csv", summary="1 network", scripts="'none'", sections=sections
    )


def test_values_are_escaped_and_figures_are_not():
    table = {"head": ["<i>x</i>"], "rows": [["<b>", ("&", "<u>")]], "caption": "<s>", "numeric": True, "fits": True}
    page = report(
        ("text", [{"text": "<em>"}]),
        ("bullets", [{"lines": ["<script>"]}]),
        ("table", [table]),
        ("figure", [{"svg": "<svg></svg>", "caption": "<mark>"}]),
    )
    assert "<h1>&lt;b&gt;price&lt;/b&gt; from a &amp; b.csv</h1>" in page
    assert "<title>&lt;b&gt;price" in page
    assert "<h2>A &amp; B</h2>" in page
    assert "<th>&lt;i&gt;x&lt;/i&gt;</th>" in page
    assert '<th scope="row">&lt;b&gt;</th><td>&amp;<small>&lt;u&gt;</small></td>' in page
    assert "<figure><svg></svg><figcaption>&lt;mark&gt;</figcaption></figure>" in page
    for name in ("em", "script", "s"):
        assert page.count(f"&lt;{name}&gt;") == 1
    assert not any(tag in page for tag in ("<script", "<em>", "<i>", "<b>", "<u>", "<s>", "<mark>"))


def test_the_contents_link_to_every_section():
    page = report()
    assert page.count('<section id="a"') == 1
    assert page.count('<a href="#a">A &amp; B</a>') == 2  # beside the page, and above it on narrow screens


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(Exception, match="'summary' is undefined"):
        render("report.html", title="t", scripts="", sections=[])


def test_every_page_has_the_stylesheet_for_phones_and_the_dark():
    page = render("base.html", title="t")
    assert "(prefers-color-scheme: dark)" in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


def test_without_jinja2_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'chainrule\[cli\]'"):
        render("base.html", title="t")
