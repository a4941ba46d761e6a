"""Stand-alone pages, one figure each: ``python -m dpofield.widgets.demo OUT_DIR``.

Each page is one self-contained HTML file: the figure's state as the book embeds it, and the book's
own loader.
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ipywidgets.embed import dependency_state, embed_data  # type: ignore[import-untyped]

from dpofield import widgets
from dpofield.palette import PALETTE
from dpofield.places import shipped
from dpofield.widgets.figure import Figure

PAGE = Path(__file__).with_name("js") / "demo.html"
LOADER = shipped("tools/assets/loader.js")
DEMOS: dict[str, type[Figure]] = {
    figure.slug(): figure for figure in (getattr(widgets, name) for name in widgets.__all__)
}
"""All figures, by the names of their pages."""


def _script(kind: str, data: Any) -> str:
    # Escaped, because "</script>" in a string would end the script.
    text = json.dumps(data).replace("<", "\\u003c")
    return f'<script type="application/vnd.jupyter.widget-{kind}+json">{text}</script>'


def demo_page(name: str, loader: Path = LOADER, widget: Any = None) -> str:
    """The HTML of one demo; `KeyError` for an unknown name. `widget`: the figure in another state.

    Raises `FileNotFoundError` naming the loader if it is missing.
    """
    figure = DEMOS[name]
    if not loader.exists():
        raise FileNotFoundError(
            f"{loader.name} is not in {loader.parent}: install the wheel again, use a checkout of "
            "the book, or name the file with loader="
        )
    widget = widget or figure()
    state = dependency_state([widget], drop_defaults=False)  # of this widget only
    data = embed_data(views=[widget], state=state)
    (view,) = data["view_specs"]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        **{part: escape(text) for part, text in figure.demo._asdict().items()},
        **{
            f"{side}_{role}": PALETTE[role][dark]
            for dark, side in enumerate(("light", "dark"))
            for role in ("surface", "text")
        },
        name=figure.__name__,
        wide=widget._height,
        narrow=widget._height_narrow,
        state=_script("state", data["manager_state"]),
        view=_script("view", view),
        loader=loader.read_text(encoding="utf-8").replace("</script", "<\\/script"),
    )


def write_demos(out_dir: Path, loader: Path = LOADER) -> list[Path]:
    """Write every demo page as `<name>.html` into `out_dir`, created if needed; return the paths.

    Errors as in `demo_page`.
    """
    pages = {name: demo_page(name, loader) for name in DEMOS}
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, page in pages.items():
        paths.append(out_dir / f"{name}.html")
        paths[-1].write_text(page, encoding="utf-8")
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        "python -m dpofield.widgets.demo", description="Write one stand-alone page per figure."
    )
    parser.add_argument("folder", type=Path, help="the folder for the pages")
    for path in write_demos(parser.parse_args().folder):
        print(path)
