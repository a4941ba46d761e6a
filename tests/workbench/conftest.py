"""Benches whose models are tiny, and one place for those models."""

from __future__ import annotations

import pytest

from dpofield.bench.workbench import Bench
from dpofield.experiments.config import Config

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
    """Make benches; what still trains at the end of a test is ended."""
    benches = []

    def make(**changes):
        benches.append(Bench(tiny(**changes), root=models))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()
        assert bench.live.wait(60)
