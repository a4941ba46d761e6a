"""A sweep that is killed several times ends with the same rows as an undisturbed sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dpofield.experiments.plans import SMOKE
from dpofield.experiments.store import Store

KILLS = 3


def command(place: Path, *more: str) -> list[str]:
    """The command that runs the smoke plan; all its files are under `place`."""
    where = [f"--{name}={place / name}" for name in ("store", "models", "results")]
    return [sys.executable, "-m", "dpofield.experiments", "run", "smoke", *where, *more]


def rows(place: Path) -> list[str]:
    """The collected rows without times, as texts so that nan equals nan."""
    table = pq.read_table(place / "results" / "smoke.parquet").drop_columns(["wall_s", "cpu_s"])
    return [repr(row) for row in table.to_pylist()]


def finished(place: Path) -> dict[str, int]:
    """File of each finished run -> time of its last change."""
    files = (place / "store").rglob("*.parquet")
    return {p.name: p.stat().st_mtime_ns for p in files if not p.name.startswith(".")}


def wait_for(place: Path, more_than: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until more than `more_than` runs are finished, or the process has ended."""
    while len(finished(place)) <= more_than and process.poll() is None:
        time.sleep(0.02)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows of a sweep that was not killed, from one process."""
    place = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(place, "--workers=1"), check=True, capture_output=True)
    found = rows(place)
    assert len(found) == len(SMOKE)
    assert all("'error': None" in row for row in found)
    return found


def test_killed_and_started_again(tmp_path: Path, undisturbed: list[str]) -> None:
    """The process group is killed, each time a little later; no run is lost or repeated."""
    for number in range(KILLS):
        before = finished(tmp_path)
        with subprocess.Popen(
            command(tmp_path, "--workers=2"), start_new_session=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as sweep:  # fmt: skip
            wait_for(tmp_path, len(before) + number, sweep)
            assert sweep.poll() is None, "the sweep ended before it could be killed"
            os.killpg(sweep.pid, signal.SIGKILL)
        after = finished(tmp_path)
        assert len(before) < len(after) < len(SMOKE)
        assert before.items() <= after.items(), "a finished run was repeated"
        store = Store(tmp_path / "store")
        assert sum(store.done(config) for config in SMOKE) == len(after)  # all files are complete
    last = subprocess.run(command(tmp_path, "--workers=1"), check=True, capture_output=True)
    assert f"{len(after)} kept, 0 failed" in last.stdout.decode()
    assert after.items() <= finished(tmp_path).items()
    assert rows(tmp_path) == undisturbed


def test_a_dask_cluster_with_one_worker_killed(tmp_path: Path, undisturbed: list[str]) -> None:
    """Of two workers over TCP, one is killed during the sweep; the other one repeats its run."""
    scheduler = _dask(
        "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard",
        f"--scheduler-file={tmp_path}/s",
    )  # fmt: skip
    workers = []
    try:
        address = _address(tmp_path / "s")
        options = ("--nthreads=1", "--no-nanny", f"--local-directory={tmp_path}", "--no-dashboard")
        workers = [_dask("worker", address, *options) for _ in range(2)]
        with subprocess.Popen(
            command(tmp_path, f"--dask={address}"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as sweep:
            wait_for(tmp_path, 3, sweep)
            assert sweep.poll() is None, "the sweep ended before a worker could be killed"
            workers[0].kill()
            said, complaint = sweep.communicate()
        assert sweep.returncode == 0, complaint.decode()
        assert f"{len(SMOKE)} runs made" in said.decode()
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
    assert rows(tmp_path) == undisturbed


def _dask(what: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _address(file: Path) -> str:
    for _ in range(1200):
        if file.exists() and file.read_text():
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.05)
    raise AssertionError("the scheduler did not start within a minute")
