"""Workbenches whose models are tiny, and one place for those models."""

from __future__ import annotations

import pytest

from dpofield.experiments.config import Config
from dpofield.workbench.widget import Workbench

SHAPE = {"layers": 1, "width": 16, "heads": 2, "sft_steps": 2}


def tiny(**changes):
    """A configuration that is trained in a moment."""
    return Config(**SHAPE | {"pairs": 5, "batch": 5, "steps": 6, "record_every": 1} | changes)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Where the starting models of all these tests are cached."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def made(models):
    """Make workbenches; what still trains at the end of a test is ended."""
    workbenches = []

    def make(**changes):
        workbenches.append(Workbench(tiny(**changes), root=models))
        return workbenches[-1]

    yield make
    for workbench in workbenches:
        workbench.close()
        assert workbench.live.wait(60)
