"""The templates of pages, which share a base and a stylesheet."""

import sys

import pytest

from chainrule import MissingExtraError
from chainrule.pages import render

EMPTY = {
    "title": "<b>price</b> from a & b.csv",
    "summary": "1 network",
    "is_classifier": True,
    "baseline": "baseline (mean)",
    "n_measured": 1,
    "n_columns": 2,
    "quality": ["<svg></svg>"],
    "error_columns": ["<i>x</i>"],
    "reproduction": [("command", "chainrule train '<script>'")],
    "result_scores": [],
    "distribution": [],
    "columns": [],
    "notices": [],
    "learning_curves": [],
    "importance": [],
    "dependences": [],
}


def test_values_are_escaped_and_figures_are_not():
    error = {"row": "1", "actual": "<b>", "predicted": "a", "cells": ["&"]}
    page = render("report.html", **EMPTY, errors=[error], findings=["<em>"])
    assert "<h1>&lt;b&gt;price&lt;/b&gt; from a &amp; b.csv</h1>" in page
    assert "<title>&lt;b&gt;price" in page
    assert page.count("&lt;em&gt;") == 1
    assert "<th>&lt;i&gt;x&lt;/i&gt;</th>" in page
    assert "<figure><svg></svg></figure>" in page
    assert not any(tag in page for tag in ("<script", "<em>", "<i>", "<b>"))


def test_sections_without_contents_are_left_out_of_the_page_and_its_links():
    page = render("report.html", **EMPTY, errors=[], findings=[])
    for name in ("Columns", "Notices", "Learning curves", "What to try next"):
        assert f"<h2>{name}</h2>" not in page
        assert f">{name}</a>" not in page
    assert "Every row is classified correctly." in page
    assert "Measured for 1 of 2 columns" in page
    assert page.count('<section id="') == page.count('<a href="#')


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(Exception, match="'errors' is undefined"):
        render("report.html", **EMPTY, findings=[])


def test_every_page_has_the_stylesheet_for_phones_and_the_dark():
    page = render("base.html", title="t")
    assert "(prefers-color-scheme: dark)" in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


def test_without_jinja2_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'chainrule\[cli\]'"):
        render("base.html", title="t")
