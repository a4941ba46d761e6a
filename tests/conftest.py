"""The environment of all tests: one thread, fixed seeds, no display, no network, a current book."""

from __future__ import annotations

import os

# The libraries read these variables when they are imported; child processes inherit them.
os.environ.update(
    HF_HUB_OFFLINE="1",
    MKL_NUM_THREADS="1",
    MPLBACKEND="Agg",
    OMP_NUM_THREADS="1",
    PYTHONHASHSEED="0",
    TOKENIZERS_PARALLELISM="false",
)

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from fingerprint import why_not_current
from hypothesis import settings

# The same examples on every machine and in every run, without time limits.
settings.register_profile("dpofield", derandomize=True, deadline=None, database=None)
settings.load_profile("dpofield")

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Start every test from the same random state, so that the order of tests has no effect."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@cache
def _why_not_built() -> str:
    return why_not_current()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail (do not skip) a test of the built site if the site is missing or outdated."""
    if item.get_closest_marker("built") and _why_not_built():
        pytest.fail(f"{_why_not_built()}: run make book first", pytrace=False)


@pytest.fixture(scope="session")
def chrome() -> Iterator[Any]:
    """One Chromium for the whole session, because Playwright starts only once per thread."""
    import browser

    with browser.browser() as chromium:
        yield chromium


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores, at most four: tests of browsers and kernels are partly idle."""
    return min(4, (os.cpu_count() or 1) + 1)
