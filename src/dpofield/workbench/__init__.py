"""The workbench: choose a run, train it in this kernel, watch its pairs, compare, take it as code.

`choices` says what can be chosen and turns it into a `Config`, `script` writes it as code,
`compare` sets two runs side by side. `controls`, `live` and `widget` are the widgets; `live` trains
by `experiments.run`.
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
"""Set to "static" where a page is made that no kernel will stand behind."""

RECORDED = (
    "This page has no kernel, so here stands a **recorded run** in place of the workbench: it can "
    "be played, and no other can be trained."
)
"""What a static page says in the workbench's place."""


class Sentence(str):
    """Text that a page typesets and a terminal prints."""

    def _repr_markdown_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return str(self)


def workbench(config: Config | None = None, **options: Any) -> Workbench | RunPlayer:
    """A `Workbench` that starts from `config`; in a static page a recorded run, and it says so.

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
        player.record = len(player.step) - 1  # at its end there is something to see
        return player
    from dpofield.workbench.widget import Workbench

    return Workbench(config, **options)
