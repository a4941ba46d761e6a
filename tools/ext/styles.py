"""One style sheet for the whole site, holding only the rules that some page can use.

The theme and its extensions link fourteen style sheets and use a tenth of their rules; a phone
waits for each of them. Runs after the pages are written and before the fonts are cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import node as nodejs
from sphinx.application import Sphinx

SHEET = "site.css"
TOKEN = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|url\([^)"']*\)|[{};])""")
NAME = re.compile(r"[A-Za-z_][\w-]*")


def rules(css: str) -> Iterator[tuple[str, str]]:
    """Split CSS into (head, body) pairs; a statement such as `@charset` has an empty body.

    >>> list(rules('@charset "u";a{b:c}@media x{d{e:f}}'))
    [('@charset "u"', ''), ('a', 'b:c'), ('@media x', 'd{e:f}')]
    """
    start = depth = open_at = 0
    for match in TOKEN.finditer(css):
        mark, at = match[0], match.start()
        if mark == "{":
            if depth == 0:
                open_at = at
            depth += 1
        elif mark == "}":
            depth -= 1
            if depth == 0:
                yield css[start:open_at].strip(), css[open_at + 1 : at].strip()
                start = at + 1
        elif mark == ";" and depth == 0:
            yield css[start:at].strip(), ""
            start = at + 1


def possible(selector: str, used: set[str]) -> bool:
    """Whether every class and id of the selector occurs; what `:not()` and its like hold is free.

    >>> possible("div.a > .b:not(.c)", {"a", "b"}), possible("p.a .z", {"a", "b"})
    (True, False)
    """
    plain = re.sub(r"\[[^\]]*\]", "", selector)
    previous = ""
    while plain != previous:  # innermost parentheses first
        previous, plain = plain, re.sub(r"\([^()]*\)", "", plain)
    names = re.findall(r"[.#]((?:\\.|[\w-])+)", plain)
    return all(name.replace("\\", "") in used for name in names)


def selectors(head: str) -> list[str]:
    """The parts of a selector list, split at commas outside parentheses.

    >>> selectors("a:is(b,c),d")
    ['a:is(b,c)', 'd']
    """
    return [part.strip() for part in re.split(r",(?![^()]*\))", head)]


def purge(css: str, used: set[str]) -> str:
    """The CSS without comments and without rules that match nothing.

    >>> purge("/* x */ .a, .b { c: d } @media print { .z { e: f } }", {"a"})
    '.a{c: d}'
    """
    kept = []
    for head, body in rules(re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)):
        if head.startswith(("@media", "@supports", "@layer", "@-moz-document")):
            inner = purge(body, used)
            if inner:
                kept.append(f"{head}{{{inner}}}")
        elif head.startswith("@"):
            kept.append(f"{head}{{{body}}}" if body else "")  # @charset has no use in a bundle
        else:
            alive = [part for part in selectors(head) if possible(part, used)]
            if alive and body:
                kept.append(f"{','.join(alive)}{{{body}}}")
    return "".join(kept)


def read(sheet: Path, static: Path) -> str:
    """A style sheet with its imports in place and its addresses relative to the static folder."""
    css = sheet.read_text("utf8")
    css = re.sub(
        r"@import\s+(?:url\()?[\"']([^\"']+)[\"']\)?;",
        lambda found: read(sheet.parent / found[1], static),
        css,
    )

    def address(found: re.Match[str]) -> str:
        target = (sheet.parent / found[2]).resolve()
        return f"url({found[1]}{target.relative_to(static.resolve()).as_posix()}{found[1]})"

    return re.sub(r"url\(([\"']?)(?!data:|#|https?:|/)([^\"')]+)\1\)", address, css)


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    pages = [page.read_text("utf8") for page in Path(app.outdir).rglob("*.html")]
    scripts = [script.read_text("utf8") for script in static.rglob("*.js")]
    used = {
        name
        for text in re.findall(r"""\b(?:class|id)=["']([^"']*)["']""", " ".join(pages))
        for name in text.split()
    }
    used.update(*(NAME.findall(script) for script in scripts))

    temml = nodejs.node_modules() / "temml" / "dist" / "Temml-STIX2.css"
    names = ["styles/theme.css", "styles/pydata-sphinx-theme.css"]
    linked = sorted(app.builder._css_files, key=lambda css: css.priority)
    names += [str(css.filename).removeprefix("_static/") for css in linked]
    names = [name for name in dict.fromkeys(names) if name not in app.config.dpofield_unwanted_css]
    sheets = [read(static / name, static) for name in names if (static / name).exists()]
    # Temml's first, so that the book's own rules win; its font is named in book.css
    mathematics = re.sub(r"@font-face\s*\{.*?\}", "", temml.read_text("utf8"), flags=re.DOTALL)
    css = "\n".join([mathematics, *sheets])
    # an icon is a letter of its font: drawn, but not read aloud
    icon = r'content:\s*("(?:[\ue000-\uf8ff]|\\[ef][0-9a-f]{3})")'
    css = re.sub(icon, r'content:\1;content:\1/""', purge(css, used))
    (static / SHEET).write_text(css, "utf8")


def setup(app: Sphinx) -> None:
    """Bundle the style sheets when the pages are there."""
    # sphinx-proof's colours clash with each other and with a dark page; nothing here runs thebe
    app.add_config_value("dpofield_unwanted_css", ["proof.css", "sphinx-thebe.css"], "html")
    app.connect("build-finished", _finish, priority=980)
