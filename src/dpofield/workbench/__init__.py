"""The workbench: choose a run, train it in this kernel, watch its pairs, compare, copy the code.

`choices` lists the options and turns a choice into a `Config`, `script` writes a `Config` as code,
and `compare` shows two runs side by side. `controls`, `live` and `widget` are the widgets; `live`
trains with `experiments.run`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpofield.experiments.config import Config
    from dpofield.widgets import RunPlayer
    from dpofield.workbench.widget import Workbench

__all__ = ["PAGE", "RECORDED", "workbench"]

PAGE = "DPOFIELD_PAGE"
"""Set to "static" while building a page that will have no kernel."""

RECORDED = (
    "This page has no kernel, so here stands a **recorded run** in place of the workbench: it can "
    "be played, and no other can be trained."
)
"""The text that a static page shows in place of the workbench."""


class Sentence(str):
    """Text that a page typesets and a terminal prints."""

    def _repr_markdown_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return str(self)


def workbench(config: Config | None = None, **options: Any) -> Workbench | RunPlayer:
    """A `Workbench` that starts from `config`; in a static page, a note and a recorded run.

    `options` are those of `Workbench`.

    >>> os.environ[PAGE] = "static"
    >>> type(workbench()).__name__
    This page has no kernel, so here stands a **recorded run** in place of the workbench: ...
    'RunPlayer'
    >>> del os.environ[PAGE]
    """
    if os.environ.get(PAGE) == "static":
        from IPython.display import display

        from dpofield.widgets import RunPlayer

        display(Sentence(RECORDED))
        player = RunPlayer()
        player.record = len(player.step) - 1  # at the first record nothing has moved
        return player
    from dpofield.workbench.widget import Workbench

    return Workbench(config, **options)
