"""The recorded tables: complete, of the current plans, and reproduced by the current code."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpofield.experiments.check import check
from dpofield.experiments.plans import PLANS, WEAK, plan
from dpofield.experiments.store import Store
from dpofield.experiments.sweep import sweep
from dpofield.experiments.tables import recorded

RESULTS = Path(__file__).parents[2] / "results" / "experiments"


@pytest.mark.parametrize("name", PLANS)
def test_a_row_of_every_run(name: str) -> None:
    """A table has all runs of its plan, none failed, and all are from one code and environment."""
    table = recorded(name)
    assert len(table) == len(plan(name))
    assert table["code_hash"].nunique() == table["versions"].nunique() == 1


def test_recorded_rows_come_out_again(tmp_path: Path) -> None:
    """The current code reproduces a random sample of the recorded rows.

    Only rows after little SFT are the same on every processor; `check` says why.
    """
    verdicts = list(check(RESULTS, 4, seed=20261126, longest_sft=WEAK))
    assert [v for v in verdicts if not v.same] == []


def test_no_table_no_other_table_no_damaged_table(tmp_path: Path, models: Path) -> None:
    """Each error has the command that makes the table."""
    with pytest.raises(FileNotFoundError, match="experiments run smoke"):
        recorded("smoke", tmp_path)
    store, target = Store(tmp_path / "store"), tmp_path / "smoke.parquet"
    sweep(plan("smoke")[:2], store, root=models, progress=False)
    store.collect(plan("smoke")[:2], target)
    with pytest.raises(ValueError, match=r"other runs than the plan.*experiments run smoke"):
        recorded("smoke", tmp_path)
    target.write_bytes(target.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"damaged.*experiments run smoke"):
        recorded("smoke", tmp_path)
