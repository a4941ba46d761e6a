"""A slider whose handle has an accessible name; the stock slider of ipywidgets has none."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from dpofield.widgets.figure import FOLDER
from dpofield.widgets.modules import bundle


class LogSlider(anywidget.AnyWidget):
    """A logarithmic slider for `value` from `low` to `high`; screen readers read `name`.

    A value beyond the ends is kept, with the handle at the nearer end.

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
