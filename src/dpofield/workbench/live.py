"""Training with a live view: Train and Stop, the progress, and a picture of the moving pairs."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]
from numpy.typing import NDArray

from dpofield.experiments.config import Config
from dpofield.experiments.one_run import RunWatch, Start, run
from dpofield.lab.descent import Interrupted
from dpofield.lab.runs import Run
from dpofield.widgets import RunPlayer
from dpofield.workbench import choices

IDLE = "Nothing is trained yet. The picture is that of a recorded run of this book."
PATIENCE = 20.0  # s, longest wait for the current step when the kernel ends
ROW = {"display": "flex", "flex_flow": "row wrap", "grid_gap": "8px", "overflow": "visible"}


class Live(widgets.VBox, RunWatch):
    """Trains `config()` in a separate thread, so that the kernel can handle Stop meanwhile.

    `ended(config, run)` is called in that thread with the run, complete or up to the step where it
    was stopped. `root` is where starting models are cached. The training ends with this widget and
    with the kernel.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        ended: Callable[[Config, Run], None],
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        self._config, self._ended, self._root = config, ended, root
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._now, self._texts = Config(), list[list[str]]()
        self._first: tuple[int, NDArray[Any], NDArray[Any]] | None = None
        self._drawn = False
        self.train = _button("Train", "Train what is chosen above", self.start, "primary")
        self.halt = _button("Stop", "End the training after the step in hand", self.stop)
        self.halt.disabled = True
        self.bar = widgets.IntProgress(max=1, layout={"width": "160px"})
        self.doing = widgets.Label(layout={"width": "auto"})
        self.words = widgets.HTML(layout={"width": "auto"})
        self.player = RunPlayer()
        # A minimum height, so that the page does not move when the picture is replaced.
        room = {"overflow": "visible", "min_height": f"{self.player._height}px"}
        self.picture = widgets.VBox([self.player], layout=room)
        self.picture.add_class("dpf-picture")
        row = widgets.Box([self.train, self.halt, self.bar, self.doing], layout=ROW)
        super().__init__([row, self.words, self.picture], layout={"overflow": "visible"})
        self._say(IDLE)
        weakref.finalize(self, _end, self._stop, self._threads)

    @property
    def training(self) -> bool:
        """Whether a run is in progress."""
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start a run, unless one is in progress; show an invalid configuration as a message."""
        if self.training:
            return
        try:
            config = self._config()
        except ValueError as error:
            self._say(f"Not started: {error}.", wrong=True)
            return
        self._stop.clear()
        self.train.disabled, self.halt.disabled = True, False
        self._say(f"{choices.named(config)}.")
        self._threads[:] = [threading.Thread(target=self._work, args=(config,), daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """End the run after the current step."""
        self._stop.set()
        self.halt.disabled = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds for the run; return whether it has ended."""
        for thread in self._threads:
            thread.join(timeout)
        return not self.training

    def close(self) -> None:
        """End the training, and remove the widget from the page."""
        self._stop.set()
        super().close()

    def _say(self, words: str, *, wrong: bool = False) -> None:
        role = "alert" if wrong else "status"
        self.words.value = f'<p role="{role}">{escape(words, quote=False)}</p>'

    # -- in the thread that trains --

    def _work(self, config: Config) -> None:
        self._now = config
        record: Run | None = None
        try:
            record = run(config, self, root=self._root).run
            self._say(f"Done: {choices.named(config)}.")
        except Interrupted as stop:
            record = stop.run
            kept = " What came until then is kept." if record is not None else ""
            self._say(f"{stop}.{kept}")
        except Exception as error:  # show any error; the workbench stays usable
            self._say(f"The run ended with an error: {_words(error)}.", wrong=True)
        if record is not None and len(record.step) > 1:
            self._ended(config, record)
        self.doing.value = ""
        self.train.disabled, self.halt.disabled = False, True

    def stopped(self) -> bool:
        """Whether the run should end now."""
        return self._stop.is_set()

    def progress(self, what: str, step: int, steps: int) -> None:
        """Show the progress."""
        self.bar.max = max(1, steps)
        self.bar.value = step
        self.doing.value = f"{what}: {step} of {steps}" if steps > 1 else what

    def loaded(self) -> None:
        """Show that pairs are being drawn."""
        self.progress("drawing pairs", 0, 1)

    def drawn(self, start: Start) -> None:
        """Keep the pairs' texts; the picture needs two records, so it comes with the second one."""
        self._texts = [[pair.prompt, pair.preferred, pair.dispreferred] for pair in start.pairs]
        self._first, self._drawn = None, False

    def record(self, step: int, u: NDArray[Any], v: NDArray[Any]) -> None:
        """Show the new log-ratios of the pairs."""
        if self._first is None:
            self._first = (step, u, v)
        elif self._drawn:
            self.player.extend(step, u, v)
        else:
            self._draw(step, u, v)

    def _draw(self, step: int, u: NDArray[Any], v: NDArray[Any]) -> None:
        """Replace the picture by a new one in the same chart, at the newest record."""
        assert self._first is not None
        first, old, config = self._first, self.player, self._now
        self.player = RunPlayer(
            [first[0], step], [first[1], u], [first[2], v], self._texts, record=1, follow=True,
            loss=config.loss, params=config.params, title=choices.brief(config), chart=old.chart,
        )  # fmt: skip
        self.picture.children = (self.player,)
        old.close()
        self._drawn = True


def _words(error: Exception) -> str:
    """The text of an error: this project's errors are sentences, others need their type."""
    ours = isinstance(error, (ValueError, FloatingPointError))
    return str(error) if ours else f"{type(error).__name__}: {error}"


def _button(name: str, tooltip: str, press: Callable[[], None], style: str = "") -> widgets.Button:
    button = widgets.Button(description=name, tooltip=tooltip, button_style=style)
    button.on_click(lambda _: press())
    return button


def _end(stop: threading.Event, threads: list[threading.Thread]) -> None:
    """Stop threads at a step boundary: killing one inside torch can crash the process."""
    stop.set()
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(PATIENCE)
