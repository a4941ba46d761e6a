"""Sweeps in one and in several processes: repeated configurations, failures, dying workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dpofield.experiments import sweep as sweeping
from dpofield.experiments.config import Config
from dpofield.experiments.rows import failure
from dpofield.experiments.store import Store
from dpofield.experiments.sweep import Report, sweep
from tests.experiments import deaths
from tests.experiments.conftest import tiny


def errors(store: Store, configs: list[Config]) -> list[str | None]:
    tables = [store.read(config) for config in configs]
    return [table["error"][0].as_py() for table in tables if table is not None]


def test_each_run_once(store: Store, models: Path) -> None:
    """Equal configurations are measured once, and the files of finished runs are not rewritten."""
    configs = [tiny(seed=0), tiny(seed=1), tiny(seed=0)]
    assert sweep(configs, store, root=models, progress=False) == Report(0, 2, 0)
    written = store.path(configs[0]).stat().st_mtime_ns
    configs.append(tiny(loss="ipo"))
    assert sweep(configs, store, root=models, progress=False) == Report(2, 1, 0)
    assert store.path(configs[0]).stat().st_mtime_ns == written


def test_a_failure_does_not_stop_the_rest(store: Store, models: Path) -> None:
    """A failure is recorded, the other runs continue, and the next sweep tries it again."""
    configs = [tiny(sft_steps=0, source="model"), tiny()]
    assert sweep(configs, store, root=models, progress=False) == Report(0, 1, 1)
    first, second = errors(store, configs)
    assert first is not None
    assert first.startswith("ValueError: pairs = 5: 5 rounds found 0")
    assert second is None
    assert sweep(configs, store, root=models, progress=False) == Report(1, 0, 1)


def test_a_failure_that_is_mended(
    store: Store, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of a failure is replaced when a later sweep succeeds."""
    monkeypatch.setattr(sweeping, "attempt", lambda config, root: failure(config, "no disk"))
    assert sweep([tiny()], store, root=models, progress=False) == Report(0, 0, 1)
    monkeypatch.undo()
    assert sweep([tiny()], store, root=models, progress=False) == Report(0, 1, 0)
    assert errors(store, [tiny()]) == [None]


def test_a_damaged_file_is_made_again(store: Store, models: Path) -> None:
    """A damaged file gives a warning and is measured again."""
    sweep([tiny()], store, root=models, progress=False)
    path = store.path(tiny())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert sweep([tiny()], store, root=models, progress=False) == Report(0, 1, 0)
    assert errors(store, [tiny()]) == [None]


def test_other_code_is_refused(store: Store, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows from a worker with other code are not written."""
    strange = {"code_hash": "f" * 16}
    monkeypatch.setattr(sweeping, "attempt", lambda config, root: failure(config, "") | strange)
    with pytest.raises(RuntimeError, match=r"a worker has code ffff.*install the same version"):
        sweep([tiny()], store, root=models, progress=False)
    assert not store.path(tiny()).exists()


def test_workers_that_die(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose worker dies once is repeated; a run that always kills its worker fails."""
    monkeypatch.setattr(sweeping, "attempt", deaths.attempt)
    configs = [tiny(seed=seed) for seed in range(8)]
    assert sweep(configs, store, workers=2, root=tmp_path, progress=False) == Report(0, 6, 2)
    found = errors(store, configs)
    assert found[1] == "ValueError: seed 1"
    assert found[3] == "its process died 2 times while no other run was active"
    assert [e for i, e in enumerate(found) if i not in (1, 3)] == [None] * 6
    tables = [store.read(config) for config in configs]
    processes = {table["wall_s"][0].as_py() for table in tables if table is not None}
    assert float(os.getpid()) not in processes


def test_what_a_killed_writer_left(store: Store, models: Path) -> None:
    """A sweep removes old drafts; it keeps recent ones, which another process may be writing."""
    store.folder.mkdir(parents=True)
    old, fresh = (store.folder / f".draft-{name}.parquet" for name in ("old", "fresh"))
    for draft in (old, fresh):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    sweep([tiny()], store, root=models, progress=False)
    assert not old.exists()
    assert fresh.exists()
