"""Each colour is defined once, in `dpofield.palette`, and everything else uses it from there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from ext import palette
from ext.styles import SHEET
from ext.widgets import STILLS

from dpofield.palette import MAGNITUDE, ON_HEAT, PAGE, PALETTE
from dpofield.widgets.tokens import tokens_css

ROOT = Path(palette.__file__).parents[2]
FOLDERS = ("src", "tools", "book", "tests", "coursework")
WRITTEN = {".py", ".css", ".js", ".mjs", ".svg", ".md", ".yml", ".html", ".toml"}
PICTURES = ROOT / "book" / "assets"  # drawn by programs; other tests compare them
HEX = re.compile(r"(?<![&\w/])#(?:[0-9a-f]{6}|[0-9a-f]{3})\b", re.IGNORECASE)

ROLES = PALETTE | PAGE
COLOURS = {colour for pair in ROLES.values() for colour in pair} | {*MAGNITUDE, *ON_HEAT}
# Not in the palette: examples in docstrings and tests, and black, which figures must not have.
OTHERS = {"#000000", "#ffffff", "#aaaaaa", "#bbbbbb", "#123456"}


def written() -> Iterator[tuple[Path, str]]:
    """Every file that is not generated, except the palette itself, with its text."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            generated = path.is_relative_to(PICTURES) or {"node_modules", "_build"} & {*path.parts}
            if path.suffix in WRITTEN and not generated and path.name != "palette.py":
                yield path.relative_to(ROOT), path.read_text("utf8")


def rgb(colour: str) -> tuple[int, ...]:
    """Red, green and blue of `#rrggbb`."""
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def test_a_colour_is_typed_once() -> None:
    """A colour outside the palette would not change with the palette."""
    found = {}
    for path, text in written():
        hexes = {match[0].lower() for match in HEX.finditer(text)}
        if path.suffix in {".py", ".md", ".yml"}:  # in these, `#abc` is an anchor or a number
            hexes = {colour for colour in hexes if len(colour) == 7}
        if hexes - OTHERS:
            found[str(path)] = hexes - OTHERS
    assert not found, "name the role (src/dpofield/palette.py) in place of the colour"
    assert not COLOURS & OTHERS


def test_every_name_has_a_colour() -> None:
    """Every colour name in a style sheet or script is defined, also after a role is renamed."""
    sources = [text for path, text in written() if path.parts[0] in {"src", "tools"}]
    asked = {name for text in sources for name in re.findall(r"var\(--([\w-]+)", text)}
    given = {name for text in sources for name in re.findall(r"--([\w-]+)['\"]?[:,]", text)}
    given |= {*ROLES, *re.findall(r"--([\w-]+):", tokens_css(".figure"))}
    unknown = {name for name in asked - given if not name.startswith("pst-")}
    assert not unknown
    assert asked >= {*PAGE}, "a role that nothing on a page uses"


def test_figures_that_move_have_the_palette() -> None:
    """Every role of a figure is in the style sheet of interactive figures, light and dark."""
    css = tokens_css(".figure")
    for role, (light, dark) in PALETTE.items():
        assert css.count(f"--{role}: {light};") == css.count(f"--{role}: {dark};") == 2


def test_the_favicon_is_drawn_in_roles() -> None:
    """The favicon's colours are those of its roles, each in the light and the dark form."""
    template = (ROOT / "tools" / "assets" / palette.FAVICON).read_text("utf8")
    used = re.findall(r'<path class="([\w-]+)"', template)
    assert len(used) == template.count("<path") == 3
    there = HEX.findall(palette.coloured(template, PALETTE))
    assert sorted(there) == sorted(colour for role in used for colour in PALETTE[role])


def test_committed_pictures_are_of_the_palette() -> None:
    """An outdated colour in a still picture is found without a browser."""
    tokens = {rgb(colour) for colour in HEX.findall(tokens_css(".figure"))}
    known = {*tokens, (0, 0, 0)}  # black: the default fill of SVG, where it is invisible
    paths = sorted(STILLS.glob("*.svg"))
    assert paths
    for path in paths:
        text = path.read_text("utf8")
        whole = {tuple(map(int, c)) for c in re.findall(r"rgb\((\d+),(\d+),(\d+)\)", text)}
        assert whole <= known, f"run `make stills`: {path.name}"
        for *mixed, alpha in re.findall(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)", text):
            # a browser rounds the channels of an almost transparent colour
            off = min(
                max(abs(int(a) - b) for a, b in zip(mixed, one, strict=True)) for one in tokens
            )
            assert off <= 1 / float(alpha), f"run `make stills`: {path.name}"


@pytest.mark.built
def test_the_built_site_has_every_colour() -> None:
    """The site's style sheet has each role, light and dark, and the favicon has its own colours."""
    css = (browser.HTML / "_static" / SHEET).read_text("utf8")
    for role, (light, dark) in ROLES.items():
        assert f"--{role}: {light};" in css
        assert f"--{role}: {dark};" in css
    favicon = (browser.HTML / "_static" / palette.FAVICON).read_text("utf8")
    assert len(HEX.findall(favicon)) == 6
