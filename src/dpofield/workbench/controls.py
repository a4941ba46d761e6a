"""The controls of a configuration: stock ipywidgets, each with a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]

from dpofield.experiments.config import Config
from dpofield.formulas import LOSSES
from dpofield.workbench import choices
from dpofield.workbench.slider import LogSlider

WIDTH = {"layout": {"width": "auto", "margin": "0"}}


class Controls(widgets.GridBox):
    """The reader's choice. `config()` is the current one; `changed` is called after each change.

    `start` gives the first values, and the fields that have no control (such as the model's shape).
    """

    def __init__(self, start: Config) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._start, self._filling = start, False
        losses = sorted(((choices.title(name), name) for name in LOSSES), key=_dpo_first)
        self.fields: dict[str, Any] = {
            "sft_steps": _named(widgets.Dropdown, "SFT level", "How well the model knows the task"),
            "kind": _named(
                widgets.Dropdown, "Pairs", "Where the responses come from", options=[*choices.PAIRS]
            ),
            "pairs": _named(widgets.IntText, "Pairs in all", "Number of preference pairs"),
            "optimizer": _named(
                widgets.Dropdown, "Optimizer", "Without weight decay",
                options=[("AdamW", "adamw"), ("plain SGD", "sgd")],
            ),
            "lr": _named(widgets.FloatText, "Learning rate", "Constant", step=1e-5),
            "steps": _named(widgets.IntText, "Steps", "Updates in all"),
            "seed": _named(widgets.IntText, "Seed", "Of the pairs and of their order"),
            "loss": _named(widgets.Dropdown, "Loss", "What is descended", options=losses),
            "beta": _named(widgets.FloatText, "beta", "Strength of the KL penalty", step=0.01),
        }  # fmt: skip
        self.slider = LogSlider(
            name="beta, to slide", low=0.001, high=3.0, marks=[0.001, 0.01, 0.1, 1.0]
        )
        self.note = widgets.HTML()
        self.show(start)
        for name, field in self.fields.items():
            field.observe(lambda _, name=name: self._take(name), "value")
        self.slider.observe(self._slid, "value")
        self.slider.layout = {"margin": "0 12px 14px"}
        beta = widgets.VBox([self.fields["beta"], self.slider], layout={"overflow": "visible"})
        children = [beta if name == "beta" else self.fields[name] for name in self.fields]
        columns = "repeat(auto-fit, minmax(min(100%, 290px), 1fr))"
        layout = {"grid_template_columns": columns, "grid_gap": "8px 28px", "overflow": "visible"}
        super().__init__([*children, self.note], layout=layout)

    def config(self) -> Config:
        """The chosen configuration; `ValueError` naming an invalid field."""
        values = {name: field.value for name, field in self.fields.items()}
        beta, params = values.pop("beta"), choices.parameters(values["loss"], self._start)
        if "beta" in params:
            params["beta"] = beta
        return choices.Choice(**values, params=params).config(self._start)

    def show(self, config: Config) -> None:
        """Fill the controls; `ValueError` for pairs that `choices.PAIRS` does not have."""
        chosen = choices.choice(config)
        levels = {chosen.sft_steps: f"{chosen.sft_steps} steps"} | choices.LEVELS
        levels = choices.LEVELS | {chosen.sft_steps: levels[chosen.sft_steps]}
        self._filling, self._start = True, config
        self.fields["sft_steps"].options = [(words, steps) for steps, words in levels.items()]
        values = vars(chosen) | dict(chosen.params)
        for name, field in self.fields.items():
            field.value = values.get(name, field.value)
        self._filling = False
        self._after()

    def _take(self, name: str) -> None:
        """Handle a reader's change: set the fields that depend on it."""
        if self._filling:
            return
        self._filling = True
        if name == "loss":
            params = choices.parameters(self.fields["loss"].value, self._start)
            self.fields["beta"].value = params.get("beta", self.fields["beta"].value)
        if name == "optimizer":
            for usual, value in choices.OPTIMIZERS[self.fields["optimizer"].value].items():
                self.fields[usual].value = value
        self._filling = False
        self._after()

    def _slid(self, change: Any) -> None:
        if not self._filling:
            self.fields["beta"].value = change["new"]

    def _after(self) -> None:
        loss, beta = self.fields["loss"].value, self.fields["beta"].value
        params = choices.parameters(loss, self._start)
        self._filling = True
        self.fields["beta"].disabled = self.slider.disabled = "beta" not in params
        self.slider.value = beta
        self._filling = False
        self.note.value = f'<p class="dpf-note">{_about(loss, params)}</p>'
        self.changed()


def _named(kind: Any, name: str, tooltip: str, **options: Any) -> Any:
    return kind(description=name, tooltip=tooltip, **options, **WIDTH)


def _dpo_first(option: tuple[str, str]) -> tuple[bool, str]:
    return option[1] != "dpo", option[0].lower()


def _about(loss: str, params: Mapping[str, float]) -> str:
    """The parameters of a loss that have no control, in words."""
    words = [f"{name} = {value:g}" for name, value in params.items() if name != "beta"]
    has = f"{choices.title(loss)} also has {', '.join(words)}." if words else ""
    return " ".join([*(["This loss has no beta."] if "beta" not in params else []), has]).strip()
