"""Stand-alone pages, one figure each: ``python -m dpofield.widgets.demo OUT_DIR``.

Each page is one HTML file with everything inside: the figure's state as the book embeds it, and
the book's own loader. It runs from a memory stick.
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ipywidgets.embed import dependency_state, embed_data  # type: ignore[import-untyped]

from dpofield.palette import PALETTE
from dpofield.widgets import (
    BradleyTerry,
    CapExplorer,
    FieldExplorer,
    LawOfMotion,
    LossGallery,
    OneSoftmax,
    RunPlayer,
)

PAGE = Path(__file__).with_name("js") / "demo.html"
LOADER = Path(__file__).parents[3] / "tools" / "assets" / "loader.js"
DEMOS: dict[str, tuple[type[Any], str, str, str]] = {
    "field-explorer": (
        FieldExplorer,
        "The field of DPO, under your hand",
        "Drag a start through the gradient field of DPO in four coordinate systems and read both "
        "partial derivatives: a stand-alone page.",
        "Drag the dot: its blue and orange arrows are one small training step, split into what the "
        "preferred and the dispreferred response do. Then change the coordinates: what stays was "
        "about DPO, what changes was about the coordinates.",
    ),
    "bradley-terry": (
        BradleyTerry,
        "Two rewards and a judge",
        "Move the rewards of two responses, the judgements and beta in the Bradley-Terry model: a "
        "stand-alone page.",
        "Drag the dot along the dotted line: both rewards change, and no number does. Drag it "
        "across: now the chance moves. Then let the preferred win every comparison, and the best "
        "gap is gone. Beta only changes how many nats of log-ratio make the same gap.",
    ),
    "loss-gallery": (
        LossGallery,
        "The loss gallery, two fields at a time",
        "Compare the gradient fields of any two preference losses over the same pair of responses: "
        "a stand-alone page.",
        "Choose two losses and drag the dot: the blue and the orange arrow are what one small step "
        "does to the preferred and to the dispreferred response. A loss of the margin moves both "
        "by the same amount, one up and one down; the others do not.",
    ),
    "cap-explorer": (
        CapExplorer,
        "Caps and clocks of a divergence",
        "Change the divergence in DPO and watch the conserved curve, the cap on the preferred "
        "ratio and the clock: a stand-alone page.",
        "Choose a divergence, then drag the start: the green line is where the flow goes, the "
        "dashed blue line the most that the preferred ratio can reach. Change beta: only the clock "
        "moves.",
    ),
    "law-of-motion": (
        LawOfMotion,
        "The law of motion, with two gradients",
        "Drag the gradients of two log-probabilities and see what one training step does to both: "
        "a stand-alone page.",
        "Drag the orange gradient past the dashed blue line: now one step against the loss makes "
        "the preferred response fall. Outside the dotted circle the dispreferred moves more.",
    ),
    "one-softmax": (
        OneSoftmax,
        "One softmax, one pair",
        "A policy over three to eight responses learns one pair, on its exact path: a stand-alone "
        "page.",
        "Press Play and watch the bars and the point in the triangle. Then drag the dot to the "
        "upper left, so that the dispreferred starts likelier than the preferred, and play again: "
        "until the dashed line is crossed, the other responses grow too.",
    ),
    "run-player": (
        RunPlayer,
        "A training run, played back",
        "A recorded DPO run of a small GPT-2: every pair over the gradient field, in time, with "
        "its text: a stand-alone page.",
        "Press Play and watch where the pairs go: the arrows say where each would go by itself. "
        "Point at a pair to read it. In ratios the pairs soon crowd at the lower edge or leave the "
        "picture.",
    ),
}
"""Figure class, title, summary and what to try, by the name of the page."""


def _script(kind: str, data: Any) -> str:
    # "<" cannot be left as it is: "</script>" in a string would end the script.
    text = json.dumps(data).replace("<", "\\u003c")
    return f'<script type="application/vnd.jupyter.widget-{kind}+json">{text}</script>'


def demo_page(name: str, loader: Path = LOADER, widget: Any = None) -> str:
    """The HTML of one demo; `KeyError` for an unknown name. `widget`: another state of its figure.

    Raises `FileNotFoundError` naming the loader when it is not there: it belongs to the book's
    checkout, not to the installed package.
    """
    figure, title, summary, words = DEMOS[name]
    if not loader.exists():
        raise FileNotFoundError(
            f"{loader.name} is not in {loader.parent}: demo pages are written from a checkout of "
            "the book, or name the file with loader="
        )
    widget = figure() if widget is None else widget
    state = dependency_state([widget], drop_defaults=False)  # not every widget of this process
    data = embed_data(views=[widget], state=state)
    (view,) = data["view_specs"]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        summary=escape(summary),
        words=escape(words),
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
    """Write every demo page as `<name>.html` into `out_dir`, made if need be; return the paths.

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
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dpofield.widgets.demo OUT_DIR")
    for path in write_demos(Path(sys.argv[1])):
        print(path)
