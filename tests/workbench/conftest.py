"""Workbenches with tiny models, and one cache for these models."""

from __future__ import annotations

import pytest

from dpofield.experiments.config import Config
from dpofield.workbench.widget import Workbench

SHAPE = {"layers": 1, "width": 16, "heads": 2, "sft_steps": 2}


def tiny(**changes):
    """A configuration that trains quickly."""
    return Config(**SHAPE | {"pairs": 5, "batch": 5, "steps": 6, "record_every": 1} | changes)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The cache of starting models for all these tests."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def made(models):
    """Make workbenches; stop their training at the end of a test."""
    workbenches = []

    def make(**changes):
        workbenches.append(Workbench(tiny(**changes), root=models))
        return workbenches[-1]

    yield make
    for workbench in workbenches:
        workbench.close()
        assert workbench.live.wait(60)
