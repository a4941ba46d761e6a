"""Figures that move without a kernel: anywidgets whose formulas are printed from SymPy.

A figure is registered only here; `SomeFigure` is in `some_figure.py`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpofield.widgets.bradley_terry import BradleyTerry
    from dpofield.widgets.cap_explorer import CapExplorer
    from dpofield.widgets.field_explorer import FieldExplorer
    from dpofield.widgets.law_of_motion import LawOfMotion
    from dpofield.widgets.loss_gallery import LossGallery
    from dpofield.widgets.one_softmax import OneSoftmax
    from dpofield.widgets.room_and_price import RoomAndPrice
    from dpofield.widgets.run_player import RunPlayer

__all__ = [
    "BradleyTerry",
    "CapExplorer",
    "FieldExplorer",
    "LawOfMotion",
    "LossGallery",
    "OneSoftmax",
    "RoomAndPrice",
    "RunPlayer",
]


def __getattr__(name: str) -> Any:
    # Lazy imports, so that a page depends only on the figures that it shows.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no figure {name!r}")
    module = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
    return getattr(import_module(f"{__name__}.{module}"), name)
