"""Figures that move without a kernel: anywidgets whose formulas are printed from SymPy."""

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
    from dpofield.widgets.run_player import RunPlayer

__all__ = [
    "BradleyTerry",
    "CapExplorer",
    "FieldExplorer",
    "LawOfMotion",
    "LossGallery",
    "OneSoftmax",
    "RunPlayer",
]

_MODULES = {
    "BradleyTerry": "bradley_terry",
    "CapExplorer": "cap_explorer",
    "FieldExplorer": "field_explorer",
    "LawOfMotion": "law_of_motion",
    "LossGallery": "loss_gallery",
    "OneSoftmax": "one_softmax",
    "RunPlayer": "run_player",
}


def __getattr__(name: str) -> Any:
    # A figure prints its formulas when it is imported; a page pays for those that it shows.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no figure {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
