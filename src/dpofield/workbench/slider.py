"""A slider whose handle has a name: the stock one of ipywidgets cannot be told from another."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from dpofield.widgets.figure import FOLDER
from dpofield.widgets.modules import bundle


class LogSlider(anywidget.AnyWidget):
    """`value` between `low` and `high`, equal factors at equal distances; `name` is read aloud.

    A value beyond the ends is kept, and the handle stands at that end.

    >>> LogSlider(name="beta", low=0.001, high=3, value=0.1).value
    0.1
    """

    _esm = bundle(Path(__file__).with_name("slider.js"), {})
    _css = (FOLDER / "figure.css").read_text(encoding="utf-8")

    name = traitlets.Unicode().tag(sync=True)
    low = traitlets.Float(0.01).tag(sync=True)
    high = traitlets.Float(1.0).tag(sync=True)
    marks = traitlets.List().tag(sync=True)
    value = traitlets.Float(0.1).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
