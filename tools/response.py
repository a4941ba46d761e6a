"""How fast a figure is redrawn in a drag: `python tools/response.py [--events N] [FIGURE...]`.

Opens every demo page in Chromium at 1280 px, drags in its first plane and on its first slider with
real mouse events, and prints per figure, in ms, median and 95th percentile of

* `response`: from `event.timeStamp` to the end of the frame that shows the change, on the page's
  main thread: the handler, the drawing, style, layout and paint records (a message posted in
  `requestAnimationFrame` arrives after them). Rasterisation, by other threads, is excluded.
* `wait`: the part of `response` before the first handler runs. Chromium dispatches pointer moves
  once per frame, so at 60 Hz an event waits for up to 16.7 ms, however fast the figure is.
* `work`: the rest of `response`.
* `script`: the part of `work` in JavaScript.

Mouse events are not synchronized with frames, so each event is sent a fraction of a frame after the
page has handled the last one; these fractions are evenly spread. Prints a table and writes
`results/response.json`. A miss of the budget is printed but is no failure, because times depend on
the load of the machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import browser
from fingerprint import write_whole
from machine import machine
from tqdm import tqdm

from dpofield.widgets.demo import DEMOS, write_demos

RESULTS = browser.ROOT / "results" / "response.json"
BUDGET = {"median": 16.0, "p95": 25.0}  # ms of response
FRAME = 1 / 60  # s, Chromium's frame time without a screen
WARM = 12  # first events, which are not counted
PARTS = ("response", "wait", "work", "script")
WATCH = """(() => {
  const seen = window.seen = [];
  const ask = window.requestAnimationFrame.bind(window);
  const channel = new MessageChannel();
  let now = null;  // the move whose frame is not over
  const timed = (run) => (time) => {
    const from = performance.now();
    run(time);
    if (now) { now.script += performance.now() - from; now.drawn = true; }
  };
  window.requestAnimationFrame = (run) => ask(timed(run));
  channel.port1.onmessage = () => {
    if (now?.drawn) seen.push({ ...now, end: performance.now() });
    now = null;
  };
  for (const kind of ["pointermove", "input"]) {
    let from = 0;
    window.addEventListener(kind, (event) => {
      from = performance.now();
      if (kind === "pointermove" && event.isTrusted && !now) {
        now = { at: event.timeStamp, begin: from, script: 0, drawn: false };
        ask(() => channel.port2.postMessage(0));
      }
    }, true);
    window.addEventListener(kind, () => { if (now) now.script += performance.now() - from; });
  }
})();"""


def course(events: int) -> Iterator[tuple[float, float]]:
    """Points of a drag in the unit square: a loop in its lower left part."""
    for i in range(events):
        angle = 2 * math.pi * (i + 0.3) / 60 * (1 + 1e-3)
        yield 0.3 + 0.16 * math.cos(angle), 0.3 + 0.16 * math.sin(angle)


def way_in_plane(page: Any, events: int) -> list[tuple[float, float]]:
    """Points of the window: the first handle, then a loop in its plane."""
    box = page.locator(".dpf-dot").first.bounding_box()
    frame = page.locator(".dpf-frame").first.evaluate(
        "(e) => { const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }"
    )
    left, top, width, height = frame
    start = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return [start] + [(left + x * width, top + (1 - y) * height) for x, y in course(events)]


def way_on_slider(page: Any, events: int) -> list[tuple[float, float]]:
    """Points of the window: the thumb of the first slider, then back and forth on its track."""
    slider = page.locator(".dpf input[type=range]").first
    box = slider.bounding_box()
    part = slider.evaluate("(e) => (e.value - e.min) / (e.max - e.min)")
    left, width, y = box["x"] + 11, box["width"] - 22, box["y"] + box["height"] / 2
    return [(left + part * width, y)] + [(left + 2 * x * width, y) for x, _ in course(events)]


WAYS = {"plane": way_in_plane, "slider": way_on_slider}


def drag(page: Any, points: list[tuple[float, float]]) -> list[dict[str, float]]:
    """Drag through the points at evenly spread phases of a frame; return the times per event."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for i, point in enumerate(points[1:]):
        page.mouse.move(*point)  # returns after the page has handled it
        time.sleep(FRAME * (i * (math.sqrt(5) - 1) / 2 % 1))
    page.mouse.up()
    page.wait_for_timeout(50)
    seen: list[dict[str, float]] = page.evaluate("() => window.seen.splice(0)")
    return [
        {
            "response": move["end"] - move["at"],
            "wait": move["begin"] - move["at"],
            "work": move["end"] - move["begin"],
            "script": move["script"],
        }
        for move in seen[WARM:]
    ]


def summary(moves: list[dict[str, float]]) -> dict[str, Any]:
    """Number of moves that were drawn, and [median, 95th percentile] of each part in ms."""
    parts = {part: [move[part] for move in moves] for part in PARTS}
    return {"events": len(moves)} | {
        part: [
            round(median(times), 1),
            round(quantiles(times, n=20, method="inclusive")[-1], 1),
        ]
        for part, times in parts.items()
    }


def over(row: dict[str, Any]) -> list[str]:
    """The values of a row that are over the budget, as text."""
    found = zip(BUDGET.items(), row["response"], strict=True)
    return [f"{name} {value} > {most} ms" for (name, most), value in found if value > most]


def main() -> None:
    """Measure the named figures, or all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=120, help="mouse events per drag")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("figures", nargs="*", choices=[*DEMOS, []], help="default: all")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, browser.browser() as chrome:
        write_demos(Path(folder))
        jobs = [(figure, way) for figure in options.figures or DEMOS for way in WAYS]
        for figure, way in tqdm(jobs, desc="response", unit="drag"):
            page = chrome.new_page(viewport={"width": 1280, "height": 1000})
            page.add_init_script(WATCH)
            page.goto((Path(folder) / f"{figure}.html").as_uri())
            page.wait_for_selector('[data-mounted="1"]')
            moves = drag(page, WAYS[way](page, options.events + WARM))
            if len(moves) > options.events / 4:  # else a drag moves nothing in this figure
                rows.append({"figure": figure, "drag": way, **summary(moves)})
            page.close()
        chromium = chrome.version

    print(f"{'figure':16}{'drag':8}{'events':>7}" + "".join(f"{part:>15}" for part in PARTS))
    for row in rows:
        cells = (f"{row[part][0]:>9.1f}{row[part][1]:>6.1f}" for part in PARTS)
        missed = ", ".join(over(row))
        print(f"{row['figure']:16}{row['drag']:8}{row['events']:>7}" + "".join(cells), missed)

    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "chromium": chromium,
        "budget": BUDGET,
        "figures": rows,
    }
    write_whole(options.output, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
