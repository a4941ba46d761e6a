"""The workbench as one widget: controls, the current run, two runs compared, and the code."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import ipywidgets as widgets  # type: ignore[import-untyped]

from dpofield.experiments.config import Config
from dpofield.lab.runs import Run
from dpofield.widgets.figure import css
from dpofield.widgets.tokens import tokens_css
from dpofield.workbench import choices
from dpofield.workbench.compare import Finished, side_by_side
from dpofield.workbench.controls import Controls
from dpofield.workbench.live import Live
from dpofield.workbench.script import script

STYLE = tokens_css(".dpf-workbench") + Path(__file__).with_name("workbench.css").read_text(
    encoding="utf-8"
)
# The rules of a figure use the page's width, but a notebook's sidebar takes part of that width.
STYLE += css("run_player.css").replace("@media (max-width: 599px)", "@container (max-width: 599px)")
WIDE = {"width": "auto", "margin": "0", "overflow": "visible"}


class Workbench(widgets.VBox):
    """Choose a run, train it here, stop it at any time, compare two runs, copy the configuration.

    `config` fills the controls and sets the fields without a control (such as the model's shape);
    `root` is where starting models are cached. `finished` are the runs that have ended so far,
    `live` trains them.

    Raises `ValueError` for a configuration whose pairs `choices.PAIRS` does not have.
    """

    def __init__(
        self, config: Config | None = None, *, root: str | os.PathLike[str] | None = None
    ) -> None:
        self.finished: list[Finished] = []
        self._choosing = False
        self.code = widgets.HTML(layout=WIDE)
        self.controls = Controls(config or Config())
        self.controls.changed = self._write
        self._write()
        self.live = Live(self.controls.config, self._keep, root)
        self.a, self.b = (
            widgets.Dropdown(description=f"Run {name}", tooltip="A run that has ended", layout=WIDE)
            for name in "AB"
        )
        for choice in (self.a, self.b):
            choice.observe(lambda _: self._set_side_by_side(), "value")
        self.compared = widgets.HTML(layout=WIDE)
        self._set_side_by_side()
        style = widgets.HTML(f"<style>{STYLE}</style>", layout={"display": "none"})
        compare, code = (
            widgets.HTML(f"<h3>{words}</h3>", layout=WIDE)
            for words in ("Compare two runs", "As code")
        )
        super().__init__([
            style, self.controls, self.live, compare, self.a, self.b, self.compared, code, self.code
        ])  # fmt: skip
        self.add_class("dpf-workbench")

    @property
    def script(self) -> str:
        """The code of the chosen run; `ValueError` naming an invalid field."""
        return script(self.controls.config())

    def close(self) -> None:
        """End the training, and remove the widget from the page."""
        self.live.close()
        super().close()

    def _write(self) -> None:
        try:
            text = self.script
        except ValueError as error:
            text = f"# {error}"
        self.code.value = f'<pre tabindex="0" aria-label="The code">{escape(text)}</pre>'

    def _keep(self, config: Config, run: Run) -> None:
        """Add a run to the comparison; it compares the last two unless the reader chose others."""
        count, chosen = len(self.finished), (self.a.value, self.b.value)
        made = "" if run.complete else f", stopped after {run.step[-1]}"
        name = f"{count + 1}: {choices.named(config)}{made}"
        self.finished.append(Finished(name, config, run.step, run.u, run.v))
        if chosen in ((None, None), (max(0, count - 2), count - 1)):
            chosen = (max(0, count - 1), count)
        self._choosing = True
        for choice, value in zip((self.a, self.b), chosen, strict=True):
            choice.options = [(one.name, i) for i, one in enumerate(self.finished)]
            choice.value = value
        self._choosing = False
        self._set_side_by_side()

    def _set_side_by_side(self) -> None:
        if self._choosing:
            return
        chosen = [self.finished[i] for i in (self.a.value, self.b.value) if i is not None]
        if len(chosen) < 2 or self.a.value == self.b.value:
            self.compared.value = '<p class="dpf-note">Train two runs to see them side by side.</p>'
        else:
            self.compared.value = side_by_side((chosen[0], chosen[1]))
