"""Command line of the experiments.

    python -m dpofield.experiments run PLAN... [--workers N] [--dask tcp://HOST:PORT]
    python -m dpofield.experiments estimate PLAN... [--workers N]
    python -m dpofield.experiments collect PLAN...
    python -m dpofield.experiments check N

`run` measures the missing runs of each plan and then writes its table. If it is killed, start it
again: it continues where it stopped. PLAN may be `all`. Tables are written to where
`dpofield.experiments.recorded` reads them: `results/experiments` of a checkout, or the user's cache
folder if the package is installed elsewhere.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from dpofield.experiments import lacking
from dpofield.experiments.config import Config
from dpofield.experiments.plans import PLANS, distinct, plan
from dpofield.places import writable

try:
    from dpofield.experiments.check import check
    from dpofield.experiments.estimate import estimate
    from dpofield.experiments.store import Store
    from dpofield.experiments.sweep import sweep
    from dpofield.experiments.tables import table_folder
except ModuleNotFoundError as error:
    raise SystemExit(lacking(error)) from None


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status, 0 for success."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        print("\nstopped; finished runs are kept: start again to continue", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    writable(table_folder(options.results))  # an error now, not after hours
    store, start = Store(options.store), time.perf_counter()
    report = sweep(
        _configs(options.plan), store, workers=options.workers, dask=options.dask,
        root=options.models,
    )  # fmt: skip
    minutes = (time.perf_counter() - start) / 60
    print(
        f"{report.made} runs made in {minutes:.1f} min, {report.kept} kept, {report.failed} failed"
    )
    _collect(options)
    return 1 if report.failed else 0


def _collect(options: argparse.Namespace) -> int:
    store = Store(options.store)
    for name in _names(options.plan):
        target = table_folder(options.results) / f"{name}.parquet"
        rows = store.collect(plan(name), target)
        print(f"{target}: {rows} rows, {target.stat().st_size / 2**20:.1f} MiB")
    return 0


def _estimate(options: argparse.Namespace) -> int:
    costs = estimate(
        _configs(options.plan), Store(options.store), workers=options.workers, root=options.models
    )
    for cost in costs:
        print(f"{cost.number:5} x {cost.seconds:6.2f} s = {cost.total / 60:6.1f} min  {cost.kind}")
    total = sum(cost.total for cost in costs) / 60
    print(f"{total:.0f} min on one core, {total / options.workers:.0f} on {options.workers}")
    return 0


def _check(options: argparse.Namespace) -> int:
    wrong = 0
    for verdict in check(options.results, options.n, options.seed, options.models):
        wrong += not verdict.same
        word = "same" if verdict.same else "DIFFERS"
        print(
            f"{verdict.plan} {verdict.key}: {word}, at most {verdict.difference:.2g} "
            f"{verdict.column}",
            flush=True,
        )
    return 1 if wrong else 0


def _names(plans: list[str]) -> list[str]:
    return list(PLANS) if "all" in plans else list(dict.fromkeys(plans))


def _configs(plans: list[str]) -> list[Config]:
    return distinct(config for name in _names(plans) for config in plan(name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dpofield.experiments", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True)
    for name, command in (("run", _run), ("estimate", _estimate), ("collect", _collect)):
        sub = commands.add_parser(name)
        sub.set_defaults(command=command)
        sub.add_argument("plan", nargs="+", choices=[*PLANS, "smoke", "all"])
        sub.add_argument(
            "--workers", type=_count, default=os.cpu_count() or 1, help="processes, one thread each"
        )
    commands.choices["run"].add_argument(
        "--dask", metavar="ADDRESS", help="address of a Dask scheduler, tcp://HOST:PORT"
    )
    sub = commands.add_parser("check")
    sub.set_defaults(command=_check)
    sub.add_argument("n", type=_count, help="number of recorded rows to measure again")
    sub.add_argument("--seed", type=int, default=0, help="seed of the random sample of rows")
    for sub in commands.choices.values():
        sub.add_argument("--results", type=Path, help="folder of the tables")
        sub.add_argument("--store", type=Path, help="folder of the finished runs")
        sub.add_argument("--models", type=Path, help="cache of the starting models")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
