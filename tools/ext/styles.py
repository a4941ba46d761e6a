"""One style sheet for the whole site, with only the rules that some page can use.

The theme and its extensions link fourteen style sheets and use a tenth of their rules; a browser
waits for each of them. Runs after the pages are written and before the fonts are reduced.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import node as nodejs
from sphinx.application import Sphinx

from .palette import roles_css

SHEET = "site.css"


def purge(css: str, site: Path) -> str:
    """The CSS without comments and without rules that match nothing on the pages in `site`.

    A rule stays if each class, id, element and attribute of its selector is a word on some page or
    in some script under `_static`. Raises `NodeError` if Node fails.
    """
    nodejs.node_modules()  # purge.mjs imports PurgeCSS from there
    command = [str(nodejs.node()), str(Path(__file__).with_name("purge.mjs"))]
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    done = subprocess.run(command, input=css, cwd=site, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise nodejs.NodeError(f"PurgeCSS failed:\n{done.stderr}")
    return done.stdout


def read(sheet: Path, static: Path) -> str:
    """A style sheet with its imports inlined and its URLs relative to the static folder."""
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
    from dpofield.palette import PAGE, PALETTE

    static = Path(app.outdir, "_static")
    temml = nodejs.node_modules() / "temml" / "dist" / "Temml-STIX2.css"
    names = ["styles/theme.css", "styles/pydata-sphinx-theme.css"]
    linked = sorted(app.builder._css_files, key=lambda css: css.priority)
    names += [str(css.filename).removeprefix("_static/") for css in linked]
    names = [name for name in dict.fromkeys(names) if name not in app.config.dpofield_unwanted_css]
    sheets = [read(static / name, static) for name in names if (static / name).exists()]
    # Temml's rules come first, so that the book's rules override them; book.css names its font
    mathematics = re.sub(r"@font-face\s*\{.*?\}", "", temml.read_text("utf8"), flags=re.DOTALL)
    css = "\n".join([roles_css(PALETTE | PAGE), mathematics, *sheets])
    # an icon is a letter of its font: drawn, but not read aloud
    icon = r'content:\s*("(?:[\ue000-\uf8ff]|\\[ef][0-9a-f]{3})")'
    css = re.sub(icon, r'content:\1;content:\1/""', purge(css, Path(app.outdir)))
    (static / SHEET).write_text(css, "utf8")


def setup(app: Sphinx) -> None:
    """Bundle the style sheets after the pages are written."""
    # sphinx-proof's colours do not suit each other or a dark page; no page uses thebe
    app.add_config_value("dpofield_unwanted_css", ["proof.css", "sphinx-thebe.css"], "html")
    app.connect("build-finished", _finish, priority=980)
