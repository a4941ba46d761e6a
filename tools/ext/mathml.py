"""Typeset the book's mathematics during the build: TeX to MathML by Temml in one Node process.

The pages need no script for mathematics, only a font and a small style sheet (see `fonts`).
A formula that Temml rejects gives a Sphinx warning with its location, so a strict build fails.
"""

from __future__ import annotations

import json
import re
import subprocess
from html import escape
from pathlib import Path
from typing import Any

import node as nodejs
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)

# Environments that number their own lines in LaTeX; here Sphinx numbers the whole block.
ENVIRONMENTS = {
    "align": "aligned",
    "flalign": "aligned",
    "eqnarray": "aligned",
    "alignat": "alignedat",
    "gather": "gathered",
    "multline": "gathered",
}


OPENING = re.compile(r"[(\[“‘]+$")
CLOSING = re.compile(r"^[)\]”’.,;:!?]+")
"""Punctuation before and after a formula that must stay on its line."""


class TexError(ValueError):
    """Temml cannot typeset the formula."""


class Typesetter:
    """A Node process that runs until it is closed; each answer is cached.

    >>> with Typesetter({r"\\half": r"\\frac12"}) as typeset:
    ...     typeset(r"\\half", display=False)
    '<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>'
    """

    def __init__(self, macros: dict[str, str]) -> None:
        self.macros = macros
        self.process: subprocess.Popen[str] | None = None
        self.answers: dict[tuple[str, bool], dict[str, str]] = {}

    def __call__(self, tex: str, *, display: bool) -> str:
        """MathML of one formula; raises `TexError` with Temml's message if it cannot be typeset."""
        key = (tex, display)
        if key not in self.answers:
            self.answers[key] = self._ask(tex, display)
        answer = self.answers[key]
        if "error" in answer:
            raise TexError(answer["error"])
        return answer["mathml"]

    def _ask(self, tex: str, display: bool) -> dict[str, str]:
        if self.process is None:
            temml = nodejs.node_modules() / "temml" / "dist" / "temml.mjs"
            script = Path(__file__).with_name("typeset.mjs")
            self.process = subprocess.Popen(
                [str(nodejs.node()), str(script), str(temml), json.dumps(self.macros)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise nodejs.NodeError("the Node process that typesets mathematics has ended")
        answer: dict[str, str] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the Node process; the next formula starts another."""
        if self.process is not None:
            self.process.communicate()  # closes its input, so that it ends
            self.process = None

    def __enter__(self) -> Typesetter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def display_tex(tex: str) -> str:
    r"""TeX of a display block as one expression without its own numbers.

    >>> display_tex(r"\begin{align*} a &= b \\ &= c \end{align*}")
    '\\begin{aligned} a &= b \\\\ &= c \\end{aligned}'
    >>> display_tex(r"a \\ b")
    '\\begin{gathered}a \\\\ b\\end{gathered}'
    >>> display_tex(r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}")
    '\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}'
    """
    tex = re.sub(r"\\(?:label\{[^}]*\}|nonumber\b|notag\b)", "", tex).strip()
    tex = re.sub(r"\\(?:begin|end)\{(?:equation|displaymath|math)\*?\}", "", tex).strip()
    tex = re.sub(
        r"\\(begin|end)\{(" + "|".join(ENVIRONMENTS) + r")\*?\}",
        lambda m: rf"\{m[1]}{{{ENVIRONMENTS[m[2]]}}}",
        tex,
    )
    # Blank lines separate formulas, as in reStructuredText.
    tex = r" \\ ".join(part.strip() for part in re.split(r"\n\s*\n", tex) if part.strip())
    outside, depth = "", 0
    for piece in re.split(r"(\\begin\{[^}]*\}|\\end\{[^}]*\})", tex):
        depth += piece.startswith(r"\begin{") - piece.startswith(r"\end{")
        if depth == 0 and not piece.startswith(r"\end{"):
            outside += piece
    if re.search(r"(?<!\\)&", outside):
        return rf"\begin{{aligned}}{tex}\end{{aligned}}"
    if r"\\" in outside:
        return rf"\begin{{gathered}}{tex}\end{{gathered}}"
    return tex


def _mathml(translator: Any, node: nodes.Node, tex: str, *, display: bool) -> str:
    try:
        mathml: str = translator.builder.app.dpofield_typeset(tex, display=display)
    except TexError as error:
        logger.warning("mathematics: %s", error, location=node, type="dpofield", subtype="tex")
        return f'<code class="math-error">{escape(tex)}</code>'
    return mathml


class Punctuation(SphinxPostTransform):
    """Move a comma or bracket next to an inline formula into the formula.

    A browser may break a line between a formula and any character, so a line could begin with a
    comma. Inside the formula there is no such break.
    """

    default_priority = 900
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Move the punctuation next to each formula of the page into its attributes."""
        for node in list(self.document.findall(nodes.math)):
            for name, step, pattern in (("before", -1, OPENING), ("after", 1, CLOSING)):
                place = node.parent.index(node) + step
                text = node.parent[place] if 0 <= place < len(node.parent) else ""
                found = pattern.search(text) if isinstance(text, nodes.Text) else None
                if found:
                    node[name] = found[0]
                    rest = text[: found.start()] + text[found.end() :]
                    node.parent[place] = nodes.Text(rest)


def _with_punctuation(mathml: str, before: str, after: str) -> str:
    """The formula with text at its ends, inside its first and last unbreakable parts.

    >>> _with_punctuation("<math><mrow><mi>x</mi></mrow></math>", "(", "),")
    '<math><mrow><mtext>(</mtext><mi>x</mi><mtext>),</mtext></mrow></math>'
    >>> _with_punctuation("<math><mi>x</mi></math>", "", ".")
    '<math><mi>x</mi><mtext>.</mtext></math>'
    """
    if not mathml.startswith("<math"):  # an invalid formula, shown as it was typed
        return escape(before) + mathml + escape(after)
    if before:
        mathml = re.sub(
            r"^<math[^>]*>(?:<mrow>)?", lambda m: f"{m[0]}<mtext>{escape(before)}</mtext>", mathml
        )
    if after:
        mathml = re.sub(
            r"(?:</mrow>)?</math>$", lambda m: f"<mtext>{escape(after)}</mtext>{m[0]}", mathml
        )
    return mathml


def visit_math(translator: Any, node: nodes.math) -> None:
    """Inline formula: the `math` element alone, without a wrapper."""
    tex = re.sub(r"^\\displaystyle\b", "", node.astext().strip()).strip()
    mathml = _mathml(translator, node, tex, display=False)
    translator.body.append(_with_punctuation(mathml, node.get("before", ""), node.get("after", "")))
    raise nodes.SkipNode


def visit_math_block(translator: Any, node: nodes.math_block) -> None:
    """Display formula in a box that scrolls sideways, with its number and permalink beside it."""
    tex = re.sub(r"^\\displaystyle\b", "", node.astext().strip()).strip()
    mathml = _mathml(translator, node, display_tex(tex), display=True)
    number = get_node_equation_number(translator, node) if node.get("number") else ""
    label = f"Equation {number}" if number else "Formula"
    # starttag writes the ids, so that links to the equation work
    translator.body.append(translator.starttag(node, "div", CLASS="math-block"))
    translator.body.append(
        f'<div class="math-scroll" role="group" aria-label="{label}" tabindex="0">{mathml}</div>'
    )
    if number:  # the number is the permalink: it takes no extra space and works by touch
        link = f'href="#{node["ids"][0]}" title="Link to this equation"'
        translator.body.append(f'<a class="eqno" {link}>({number})</a>')
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _start(app: Sphinx) -> None:
    app.dpofield_typeset = Typesetter(app.config.math_macros)


def _finish(app: Sphinx, _: Exception | None) -> None:
    app.dpofield_typeset.close()


def setup(app: Sphinx) -> None:
    """Register the renderer `temml` and its macros."""
    app.add_config_value("math_macros", {}, "env", [dict])
    app.add_post_transform(Punctuation)
    app.add_html_math_renderer("temml", (visit_math, None), (visit_math_block, None))
    app.connect("builder-inited", _start)
    app.connect("build-finished", _finish)
