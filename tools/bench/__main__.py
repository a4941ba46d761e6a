"""Run the benchmarks: `make bench`, or `PYTHONPATH=tools python -m bench [--only NAME ...]`.

Prints one table and writes `results/bench.json`. Takes half an hour on an idle machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
from importlib.metadata import version
from pathlib import Path

import torch
from fingerprint import ROOT, write_whole
from machine import machine
from tabulate import tabulate
from tqdm import tqdm

from bench.architectures import architecture_rows
from bench.kernel import kernel_rows
from bench.rest import chapter_rows, enumeration_rows, field_rows
from bench.timing import Row
from bench.training import piece_rows, profile_rows, step_rows, thread_rows

RESULTS = ROOT / "results" / "bench.json"
GROUPS = {
    "steps": (step_rows, 5),
    "profile": (profile_rows, 3),
    "threads": (thread_rows, 5),
    "pieces": (piece_rows, 7),
    "kernel": (kernel_rows, 5),
    "architectures": (architecture_rows, 3),
    "enumeration": (enumeration_rows, 5),
    "field": (field_rows, 9),
    "chapters": (chapter_rows, 1),
}
"""Name of a group of rows -> the function that yields them, and the rounds per program."""


def table(rows: list[Row]) -> str:
    """The rows as text."""
    cells = [
        (r.row, r.size, r.shape, f"{r.ratio:.2f}", f"{r.low:.2f} to {r.high:.2f}",
         f"{r.first:.4g} {r.unit}", f"{r.second:.4g} {r.unit}")
        for r in rows
    ]  # fmt: skip
    heads = ("row", "size", "shape", "ratio", "range", "first", "second")
    return str(tabulate(cells, heads, disable_numparse=True))


def main() -> None:
    """Run the named groups, or all groups."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="run only these, keep the others")
    parser.add_argument("--rounds", type=int, help="rounds per program")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    names = options.only or list(GROUPS)
    old = json.loads(options.output.read_text("utf-8")) if options.output.exists() else {}
    groups = {name: old["groups"][name] for name in GROUPS if name in old.get("groups", {})}
    for name in tqdm(names, desc="bench", unit="group"):
        yielded, rounds = GROUPS[name]
        rows: list[Row] = []
        for part in yielded(options.rounds or rounds):
            rows += part
            tqdm.write(table(part))
        groups[name] = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{machine()}, {torch.get_num_threads()} threads",
            "device": "cpu",
            "versions": {p: version(p) for p in ("torch", "transformers", "trl", "numpy")},
            "rows": [row.record() for row in rows],
        }
        report = {"groups": {name: groups[name] for name in GROUPS if name in groups}}
        options.output.parent.mkdir(parents=True, exist_ok=True)
        # Written per group, so that an interruption keeps the finished groups.
        write_whole(options.output, json.dumps(report, indent=1) + "\n")
    everything = [Row(**row) for group in groups.values() for row in group["rows"]]
    print(table(everything))
    print(f"{machine()}; written to {options.output.name}")


if __name__ == "__main__":
    main()
