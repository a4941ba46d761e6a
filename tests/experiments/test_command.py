"""The command line: run, collect, estimate and check, on a few tiny runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dpofield.experiments import __main__ as command
from dpofield.experiments import check as checking
from dpofield.experiments import plans
from dpofield.experiments.check import difference
from dpofield.experiments.store import read_checked, write_whole
from tests.experiments.conftest import tiny


@pytest.fixture
def places(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Command-line options for folders; the smoke plan has three runs, and one of them fails."""
    few = [tiny(), tiny(seed=1), tiny(sft_steps=0, source="model")]
    monkeypatch.setattr(plans, "SMOKE", few)
    return [f"--store={tmp_path}/store", f"--models={models}", f"--results={tmp_path}/results"]


def test_from_nothing_to_a_checked_table(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run, collect, and check; the exit status is 1 after a failed run or a changed number."""
    assert command.main(["collect", "smoke", *places]) == 1
    assert "3 of 3 runs are missing: run the plan first" in capsys.readouterr().err
    assert command.main(["run", "smoke", "--workers=1", *places]) == 1
    said = capsys.readouterr().out
    assert "2 runs made in" in said
    assert "0 kept, 1 failed" in said
    assert "smoke.parquet: 3 rows" in said
    assert command.main(["collect", "smoke", *places]) == 0
    assert command.main(["check", "5", *places]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [": same, at most" in line for line in lines] == [True, True]

    table = tmp_path / "results" / "smoke.parquet"
    rows = read_checked(table).to_pylist()
    rows[0]["pair_u"][2] += 0.1
    write_whole(pa.Table.from_pylist(rows, schema=read_checked(table).schema), table)
    assert command.main(["check", "5", *places]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
    assert line.endswith("pair_u")


def test_an_estimate_runs_one_of_each_kind(
    places: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows of the timed runs are kept, so the sweep does not repeat these runs."""
    monkeypatch.setattr(plans, "SMOKE", [tiny(), tiny(seed=1), tiny(seed=2, steps=5)])
    assert command.main(["estimate", "smoke", "--workers=2", *places]) == 0
    said = capsys.readouterr().out
    assert "4 steps of 3" in said
    assert "5 steps of 3" in said
    assert "gpt2 1x16, SFT" in said
    assert "first look" in said
    assert "min on one core" in said
    assert command.main(["run", "smoke", "--workers=1", *places]) == 0
    assert "1 runs made" in capsys.readouterr().out


def test_ctrl_c_says_what_is_kept(
    places: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message is printed without a traceback."""

    def pressed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "sweep", pressed)
    assert command.main(["run", "smoke", *places]) == 130
    assert "finished runs are kept: start again to continue" in capsys.readouterr().err


def test_unknown_plans_and_empty_folders(
    places: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The errors list the plans, or have the command to run first."""
    with pytest.raises(SystemExit):
        command.main(["run", "everything", *places])
    assert "training-field" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no plan 'everything'; the plans are training-field"):
        plans.plan("everything")
    assert command.main(["check", "1", *places]) == 1
    assert "run a plan first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1.0, 1.1, 0.05),
        (float("nan"), float("nan"), 0.0),
        (None, None, 0.0),
        (None, 1.0, np.inf),
        (float("nan"), 1.0, np.inf),
        ([1.0, 2.0], [1.0], np.inf),
    ],
)
def test_how_rows_differ(a: Any, b: Any, expected: float) -> None:
    """Differences are relative to 1 + |x|, and infinite if only one row has a value."""
    found, _ = difference({"u": a}, {"u": b})
    assert found == pytest.approx(expected)


def test_what_is_not_compared() -> None:
    """The hash of the code and the times are not compared; texts are."""
    assert difference({"wall_s": 1.0, "code_hash": "a"}, {"wall_s": 9.0, "code_hash": "b"}) == (
        0.0,
        "",
    )
    assert (
        difference({"prompt_top_response_after": ["a"]}, {"prompt_top_response_after": ["b"]})[0]
        == np.inf
    )
    assert checking.TOLERANCE < 0.1
