"""Write the colours of `dpofield.palette` into the style sheet and the favicon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sphinx.application import Sphinx

FAVICON = "favicon.svg"


def roles_css(roles: Mapping[str, tuple[str, str]]) -> str:
    """Each role as a custom property of the page, light and dark.

    >>> print(roles_css({"text": ("black", "white")}))
    html { --text: black; }
    html[data-theme="dark"] { --text: white; }
    """

    def properties(side: int) -> str:
        return " ".join(f"--{role}: {colours[side]};" for role, colours in roles.items())

    return f'html {{ {properties(0)} }}\nhtml[data-theme="dark"] {{ {properties(1)} }}'


def coloured(svg: str, roles: Mapping[str, tuple[str, str]]) -> str:
    """The drawing with a light and a dark colour for each stroke whose class is a role.

    >>> coloured('<style></style><path class="a"/>', {"a": ("red", "tan"), "b": ("x", "y")})
    '<style>.a{stroke:red}@media(prefers-color-scheme:dark){.a{stroke:tan}}</style>...'
    """
    used = {role: pair for role, pair in roles.items() if f'class="{role}"' in svg}
    light, dark = (
        "".join(f".{role}{{stroke:{pair[side]}}}" for role, pair in used.items()) for side in (0, 1)
    )
    return svg.replace("</style>", f"{light}@media(prefers-color-scheme:dark){{{dark}}}</style>", 1)


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    from dpofield.palette import PALETTE

    source = Path(app.srcdir, app.config.html_favicon)
    favicon = Path(app.outdir, "_static", FAVICON)
    favicon.write_text(coloured(source.read_text("utf8"), PALETTE), "utf8")


def setup(app: Sphinx) -> None:
    """Colour the favicon after it is copied; styles.py writes the style sheet."""
    app.connect("build-finished", _finish)
