"""Run Lighthouse on every page of the built site: `python tools/audit.py [--runs N] [PAGE...]`.

Prints a table, and writes `results/audit.json` after every page, so an interrupted audit continues
with the missing pages. A page over the budget is reported but is no failure, because scores depend
on the load of the machine. Tests check the findings of axe (tests/site).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import browser
import chromium
import node
from fingerprint import files_under, hash_files, write_whole
from machine import machine
from tqdm import tqdm

RESULTS = browser.ROOT / "results" / "audit.json"
BUDGET = {"mobile": 96, "desktop": 100, "accessibility": 100, "cls": 0.01, "bytes": 360 * 1024}
COLUMNS = ("mobile", "desktop", "accessibility", "cls", "bytes")


def lighthouse(url: str, form: str) -> dict[str, float]:
    """One Lighthouse run ('mobile' or 'desktop'): scores out of 100, layout shift, bytes."""
    command = [
        str(node.node()),
        str(node.node_modules(dev=True) / "lighthouse" / "cli" / "index.js"),
        url,
        "--quiet",
        "--output=json",
        "--only-categories=performance,accessibility",
        "--no-enable-error-reporting",
        f"--chrome-flags=--headless {' '.join(browser.FLAGS)}",
        *(["--preset=desktop"] if form == "desktop" else []),
    ]
    with tempfile.TemporaryDirectory() as scratch:  # Chrome leaves profiles in TMPDIR
        env = {**os.environ, "CHROME_PATH": chromium.find(whole=True), "TMPDIR": scratch}
        run = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"Lighthouse failed on {url}:\n{run.stderr[-2000:]}")
    report = json.loads(run.stdout)
    if report.get("runtimeError"):
        raise RuntimeError(f"Lighthouse failed on {url}: {report['runtimeError']['message']}")
    scores, audits = report["categories"], report["audits"]
    return {
        "performance": round(100 * scores["performance"]["score"]),
        "accessibility": round(100 * scores["accessibility"]["score"]),
        "cls": audits["cumulative-layout-shift"]["numericValue"],
        "bytes": audits["total-byte-weight"]["numericValue"],
    }


def scores(url: str, runs: int) -> dict[str, float]:
    """Medians over `runs`; accessibility, shift and bytes are the worse of the two forms."""
    forms = {f: [lighthouse(url, f) for _ in range(runs)] for f in ("mobile", "desktop")}

    def median(form: str, key: str) -> float:
        return statistics.median(run[key] for run in forms[form])

    return {
        "mobile": median("mobile", "performance"),
        "desktop": median("desktop", "performance"),
        "accessibility": min(median(form, "accessibility") for form in forms),
        "cls": round(max(median(form, "cls") for form in forms), 4),
        "bytes": round(max(median(form, "bytes") for form in forms)),
    }


def misses(row: dict[str, Any]) -> list[str]:
    """The values of a row that miss the budget, as text."""
    words = [
        f"{key} {row[key]} < {BUDGET[key]}"
        for key in ("mobile", "desktop", "accessibility")
        if row[key] < BUDGET[key]
    ]
    return words + [
        f"{key} {row[key]} > {BUDGET[key]}" for key in ("cls", "bytes") if row[key] > BUDGET[key]
    ]


def versions() -> dict[str, str]:
    """Versions of Lighthouse, from the lock file, and of Chromium."""
    lock = json.loads((browser.ROOT / "tools" / "package-lock.json").read_text("utf8"))["packages"]
    output = subprocess.run(
        [chromium.find(whole=True), "--version"], capture_output=True, text=True, check=True
    )
    return {
        "lighthouse": lock["node_modules/lighthouse"]["version"],
        "chromium": output.stdout.split()[1],
    }


def kept(output: Path, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an earlier audit with the same site, tools and settings; empty otherwise."""
    try:
        earlier = json.loads(output.read_text("utf8"))
    except (OSError, ValueError):
        return []
    same = all(earlier.get(name) == value for name, value in report.items() if name != "date")
    return list(earlier["pages"]) if same else []


def main() -> None:
    """Audit the named pages, or all pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1, choices=(1, 2, 3), help="median of N runs")
    parser.add_argument("--html", type=Path, default=browser.HTML, help="the built site")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("pages", nargs="*", help="relative to the site; default: all")
    options = parser.parse_args()
    # the redirect at the root has no content of its own
    pages = options.pages or [p for p in browser.pages(options.html) if p != "index.html"]
    if not pages:
        sys.exit(f"no page under {options.html.name}/: run `make book` first")

    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "site": hash_files(files_under(options.html), options.html),
        "runs": options.runs,
        "budget": BUDGET,
    }
    done = {row["page"]: row for row in kept(options.output, report)}
    with browser.serve(options.html) as address:
        for page in tqdm([page for page in pages if page not in done], desc="audit", unit="page"):
            done[page] = {"page": page, **scores(f"{address}/{page}", options.runs)}
            whole = {**report, "pages": [done[name] for name in sorted(done)]}
            write_whole(options.output, json.dumps(whole, indent=1) + "\n")
    rows = [done[page] for page in pages]

    width = max(len(page) for page in pages)
    print(f"{'page':{width}} " + " ".join(f"{name:>13}" for name in COLUMNS))
    for row in rows:
        print(f"{row['page']:{width}} " + " ".join(f"{row[name]:>13}" for name in COLUMNS))
        if misses(row):
            print(f"  over budget: {', '.join(misses(row))}")


if __name__ == "__main__":
    main()
