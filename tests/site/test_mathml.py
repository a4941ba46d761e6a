"""The renderer of mathematics: structure of the MathML, numbers, links, errors on bad TeX."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
import yaml
from ext import mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def typeset() -> Iterator[mathml.Typesetter]:
    """A typesetter with the book's own macros."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))
    with mathml.Typesetter(config["sphinx"]["config"]["math_macros"]) as setter:
        yield setter


def tree(text: str) -> ET.Element:
    """MathML as a tree (it is well-formed XML)."""
    return ET.fromstring(text.replace("&nbsp;", " "))


def count(text: str, tag: str) -> int:
    """How often an element occurs."""
    return len(list(tree(text).iter(tag)))


def test_a_fraction_with_scripts(typeset: mathml.Typesetter) -> None:
    """The derivative in Theorem 1 has one fraction and three pairs of scripts."""
    text = typeset(r"\frac{\beta x_2^{\beta-1}}{x_1^\beta + x_2^\beta}", display=True)
    assert count(text, "mfrac") == 1
    assert count(text, "msubsup") == 3
    assert tree(text).get("display") == "block"


@pytest.mark.parametrize(
    ("tex", "rows", "cells"),
    [
        (r"\begin{align} a &= b \\ &= c \end{align}", 2, 4),
        (r"\begin{aligned} a &= b \\ &= c \\ &= d \end{aligned}", 3, 6),
        (r"a &= b \\ &= c", 2, 4),
        (r"\begin{cases} 1 & x > 0 \\ 0 & x = 0 \end{cases}", 2, 4),
        (r"\begin{pmatrix} a & b & c \\ d & e & f \end{pmatrix}", 2, 6),
        ("a = 1\n\nb = 2", 2, 2),
    ],
)
def test_tables_have_their_rows(
    typeset: mathml.Typesetter, tex: str, rows: int, cells: int
) -> None:
    """Alignments, cases and matrices keep rows and columns, and get no second number."""
    text = typeset(mathml.display_tex(tex), display=True)
    assert count(text, "mtr") == rows
    assert count(text, "mtd") == cells
    assert "tml-eqn" not in text, "Temml numbers the lines although Sphinx numbers the block"


def test_sympy_output_is_typeset(typeset: mathml.Typesetter) -> None:
    """The LaTeX of SymPy can be typeset: fractions, roots, integrals, matrices."""
    x, y = sp.symbols("x_1 beta", positive=True)
    for expression in (
        sp.log(1 + x**y).diff(x),
        sp.Integral(sp.exp(-(x**2)), (x, 0, sp.oo)),
        sp.Matrix([[x, y], [sp.sqrt(x), 1 / y]]),
        sp.Piecewise((1, x < y), (0, True)),
        sp.Limit(x**y, x, 0),
        sp.Sum(1 / x**2, (x, 1, sp.oo)),
        sp.Eq(sp.Derivative(sp.Function("L")(x), x), sp.Abs(y)),
    ):
        assert typeset(mathml.display_tex(sp.latex(expression)), display=True).startswith("<math")


def test_macros_of_the_book(typeset: mathml.Typesetter) -> None:
    """The macros of `_config.yml` work inside formulas."""
    text = typeset(r"\E\,\KL + \logratio{\yw} + \pitheta\piref\yl", display=False)
    assert "𝔼" in text
    assert count(text, "mfrac") == 1


def test_a_definition_does_not_reach_the_next_formula(typeset: mathml.Typesetter) -> None:
    """Pages are typeset in any order, so a formula must not change another."""
    typeset(r"\gdef\foo{1}\foo", display=False)
    with pytest.raises(mathml.TexError):
        typeset(r"\foo + 1", display=False)


@pytest.mark.parametrize("tex", [r"\nosuchcommand", r"\frac{a", r"\begin{align} a", "x^1^2"])
def test_bad_tex_is_an_error(typeset: mathml.Typesetter, tex: str) -> None:
    """Bad TeX raises an error, and its message has one line."""
    with pytest.raises(mathml.TexError) as caught:
        typeset(tex, display=False)
    assert "\n" not in str(caught.value)


def build(folder: Path, text: str) -> tuple[str, str]:
    """Build one page with the renderer; return its HTML and the warnings."""
    (folder / "index.rst").write_text(text, "utf8")
    warnings = io.StringIO()
    overrides: dict[str, Any] = {
        "extensions": ["ext.mathml"],
        "html_math_renderer": "temml",
        "html_theme": "basic",
        "keep_warnings": True,
    }
    with docutils_namespace():
        app = Sphinx(
            folder,
            None,
            folder / "out",
            folder / "trees",
            "html",
            overrides,
            status=None,
            warning=warnings,
        )
        app.build()
    return (folder / "out" / "index.html").read_text("utf8"), warnings.getvalue()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_numbers_links_and_warnings_in_a_page(tmp_path: Path) -> None:
    """An equation has a number, a link and a focusable box; bad TeX is located by a warning."""
    html, warnings = build(
        tmp_path,
        "Title\n=====\n\nSee :eq:`one` and :math:`x_1`.\n\n"
        ".. math:: a = b\n   :label: one\n\n.. math:: \\nosuchcommand\n",
    )
    assert 'href="#equation-one"' in html
    assert '<div class="math-block" id="equation-one">' in html
    assert 'aria-label="Equation 1" tabindex="0"' in html
    assert ">(1)</a>" in html
    assert "<msub><mi>x</mi><mn>1</mn></msub>" in html
    assert "mathjax" not in html.lower()
    assert "index.rst:9" in warnings
    assert "nosuchcommand" in warnings
    assert warnings.count("WARNING") == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_no_line_begins_with_the_comma_after_a_formula(tmp_path: Path) -> None:
    """Punctuation next to a formula is moved into it, once; the words around it are unchanged."""
    html, _ = build(
        tmp_path,
        "Title\n=====\n\nAs (:math:`a`, :math:`b`, :math:`c` and :math:`\\nosuch`). "
        "So *be* :math:`d < e`.\n",
    )
    text = re.search(r"<p>(As .*?)</p>", html, re.DOTALL)
    assert text
    assert re.findall(r"<mtext>(.*?)</mtext>", text[1]) == ["(", ",", ",", "."]
    assert "<mo>&lt;</mo></mrow><mrow><mi>e</mi><mtext>.</mtext></mrow></math>" in text[1]
    words = re.sub(r"<[^>]*>", "", text[1])
    assert words == "As (a, b, c and \\nosuch). So be d&lt;e."
