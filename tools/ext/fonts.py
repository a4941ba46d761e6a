"""Fonts reduced to the characters that the pages of this build use.

STIX Two Math is 400 KB and Font Awesome 250 KB; the book needs a tenth of STIX and twenty glyphs of
Font Awesome. Runs last, on the finished pages, and caches each font beside the doctrees.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Iterable
from pathlib import Path

import node as nodejs
from fontTools import subset
from sphinx.application import Sphinx

from .styles import SHEET

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports every table

MATH_FONT = "@fontsource/stix-two-math/files/stix-two-math-latin-400-normal.woff2"
TEXT_FONTS = {"": "400-normal", "-italic": "400-italic", "-bold": "600-normal"}


def _characters(*spans: str) -> set[int]:
    # "az" is the span from a to z
    return {code for span in spans for code in range(ord(span[0]), ord(span[1]) + 1)}


# Always kept, so that an edit of prose rarely needs a new font. Italic letters are included because
# a browser draws <mi>x</mi> with them although the page has "x".
BASICS = (
    _characters(" ~", "\xa0ÿ", "Αϖ", "𝐀𝐳", "𝐴𝑧", "𝛢𝜛", "𝒜𝒵")
    | {ord(c) for c in "ℎ−∗∘√∂∇∈∉⊂∪∩∞∑∏∫≈≠≡≤≥≪≫∼∝≻≺→←↔⇒⇔↦↑↓…⋯⋮⋱′″∣∥⟨⟩⌈⌉⌊⌋ℓℝℕ𝔼ℙ𝟙ˆ˜¯˙⏞⏟"}
    | {ord(c) for c in "ℬℰℱℋℐℒℳℛ⊤⊥∀∃"}
)


def cut(font: bytes, codes: Iterable[int], cache: Path) -> bytes:
    """The font as WOFF2 with these code points and their stretched forms; keeps the MATH table."""
    codes = sorted(set(codes))
    key = hashlib.sha256(font + repr(codes).encode()).hexdigest()[:24]
    done = cache / f"{key}.woff2"
    if not done.exists():
        options = subset.Options(
            flavor="woff2",
            hinting=False,
            name_IDs=[0, 1, 2, 13, 14],  # names and licence
        )
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=codes)
        out = io.BytesIO()
        with subset.load_font(io.BytesIO(font), options) as loaded:
            subsetter.subset(loaded)
            subset.save_font(loaded, out, options)
        cache.mkdir(parents=True, exist_ok=True)
        done.write_bytes(out.getvalue())
    return done.read_bytes()


def math_characters(html: str) -> set[int]:
    """Code points inside the `math` elements of a page."""
    text = "".join(re.findall(r"<math\b.*?</math>", html, flags=re.DOTALL))
    text = re.sub(r"<[^>]*>", "", text)
    return {ord(c) for c in text}


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static, cache = Path(app.outdir, "_static"), Path(app.doctreedir, "fonts")
    pages = [page.read_text("utf8") for page in Path(app.outdir).rglob("*.html")]
    modules = nodejs.node_modules()

    codes = BASICS.union(*map(math_characters, pages))
    font = (modules / MATH_FONT).read_bytes()
    (static / "stix-math.woff2").write_bytes(cut(font, codes, cache))
    for name, style in TEXT_FONTS.items():  # small enough to keep whole
        text = modules / f"@fontsource/stix-two-text/files/stix-two-text-latin-{style}.woff2"
        (static / f"stix-text{name}.woff2").write_bytes(text.read_bytes())

    sheet = (static / SHEET).read_text("utf8")
    icons = {ord(c) for c in sheet if "\ue000" <= c <= "\uf8ff"}
    icons |= {int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", sheet)}
    for path in static.glob("vendor/fontawesome/webfonts/*.woff2"):
        path.write_bytes(cut(path.read_bytes(), icons, cache))

    # Files that no page uses any more
    for name in (
        "scripts/fontawesome.js*",
        "vendor/fontawesome/webfonts/*.ttf",
        "**/*.map",
        "*macros.html",
        "sphinx-thebe.*",
    ):
        for path in static.glob(name):
            path.unlink()


def setup(app: Sphinx) -> None:
    """Cut the fonts when everything else has been written."""
    app.connect("build-finished", _finish, priority=990)
