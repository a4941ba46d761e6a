"""Tiny runs, with a shared cache of models and a store of rows per test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpofield.experiments.config import Config
from dpofield.experiments.rows import measure
from dpofield.experiments.store import Store
from dpofield.lab.world import World

TINY: dict[str, Any] = {
    "layers": 1, "width": 16, "heads": 2, "sft_steps": 2, "pairs": 5, "batch": 3, "steps": 4,
    "record_every": 2, "evaluated": 1,
}  # fmt: skip


def tiny(**changes: Any) -> Config:
    """A configuration that is measured in less than a second."""
    return Config(**TINY | changes)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the starting models of all these tests."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def row(models: Path) -> dict[str, Any]:
    """The row of a run that has pairs of the evaluated prompt only and keeps its paths."""
    return measure(tiny(prompts="evaluated", keep_paths=True), models)


@pytest.fixture(scope="session")
def world() -> World:
    return World()
