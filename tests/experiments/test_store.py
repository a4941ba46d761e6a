"""Files of finished runs: complete or absent, checked by their hash, one folder per code hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dpofield.experiments import store as storing
from dpofield.experiments.columns import schema
from dpofield.experiments.config import Config
from dpofield.experiments.rows import failure
from dpofield.experiments.store import Store
from tests.experiments.conftest import tiny


def test_a_row_survives_its_file(row: dict[str, Any], store: Store) -> None:
    """A row is read back: numbers of the run exactly, lists to float32 precision."""
    store.write(row)
    config = Config.from_flat(row)
    assert store.done(config)
    table = store.read(config)
    assert table is not None
    assert table.schema.equals(schema(), check_metadata=False)
    (found,) = table.to_pylist()
    assert Config.from_flat(found) == config
    assert found["kl_on_grammar"] == row["kl_on_grammar"]
    assert found["pair_u"] == pytest.approx(row["pair_u"], rel=1e-6)
    assert found["pair_preferred"] == row["pair_preferred"]
    assert found["error"] is None


def test_a_failure_is_kept_and_not_done(store: Store) -> None:
    """A failure is recorded, but its configuration is not done."""
    store.write(failure(tiny(), "it broke"))
    table = store.read(tiny())
    assert table is not None
    assert table["error"].to_pylist() == ["it broke"]
    assert not store.done(tiny())


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another"])
def test_damage_is_said_and_the_file_removed(
    row: dict[str, Any], store: Store, damage: str
) -> None:
    """A file that is cut, changed, empty or of another run gives a warning and is removed."""
    store.write(row)
    config = Config.from_flat(row)
    path = store.path(config)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-20]
    elif damage == "flipped":
        content[content.index(b"soup")] ^= 1  # a word of a prompt: still a readable file
    elif damage == "empty":
        content.clear()
    else:
        store.write(failure(tiny(seed=8), "x"))
        content = bytearray(store.path(tiny(seed=8)).read_bytes())
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"is damaged \(.*\): making it again"):
        assert store.read(config) is None
    assert not path.exists()


def test_every_flipped_bit_is_seen(row: dict[str, Any], store: Store) -> None:
    """A file with a flipped bit cannot be read, or its content is unchanged."""
    store.write(row)
    path = store.path(Config.from_flat(row))
    good, content_is = path.read_bytes(), repr(storing.read_checked(path).to_pylist())
    for place in range(0, len(good), len(good) // 150):
        content = bytearray(good)
        content[place] ^= 16
        path.write_bytes(content)
        try:
            found = storing.read_checked(path)
        except Exception:
            continue
        assert repr(found.to_pylist()) == content_is, place


def test_rows_of_other_code_are_not_found(
    row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each code hash has its own folder."""
    store = Store(tmp_path)
    store.write(row)
    monkeypatch.setattr(storing, "code_hash", lambda: "0" * 16)
    assert Store(tmp_path).read(Config.from_flat(row)) is None


def test_collecting(row: dict[str, Any], store: Store, tmp_path: Path) -> None:
    """Rows are in the order of the plan, with failures; a missing run raises without a table."""
    store.write(failure(tiny(seed=7), "it broke"))
    store.write(row)
    config, target = Config.from_flat(row), tmp_path / "table.parquet"
    assert store.collect([tiny(seed=7), config], target) == 2
    assert pq.read_table(target)["key"].to_pylist() == [tiny(seed=7).key, config.key]
    before = target.read_bytes()
    with pytest.raises(ValueError, match="1 of 2 runs are missing: run the plan first"):
        store.collect([config, tiny(seed=6)], target)
    assert target.read_bytes() == before
