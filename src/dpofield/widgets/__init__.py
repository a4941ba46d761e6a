"""Figures that move without a kernel: anywidgets whose formulas are printed from SymPy.

A figure is registered here and nowhere else; its formulas are printed when the first one is made.
"""

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
