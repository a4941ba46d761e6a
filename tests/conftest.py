"""What every test runs under: one thread, fixed seeds, no display, no network, a current book."""

from __future__ import annotations

import os

# Before anything imports them: they read these once. Processes that tests start inherit them.
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

# The same examples on every machine and every run; timings are for benchmarks, not for tests.
settings.register_profile("dpofield", derandomize=True, deadline=None, database=None)
settings.load_profile("dpofield")

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Start every test from the same random state, so that their order does not matter."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@cache
def _why_not_built() -> str:
    return why_not_current()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, and do not skip, a test of the built site when there is none or an old one."""
    if item.get_closest_marker("built") and _why_not_built():
        pytest.fail(f"{_why_not_built()}: run make book first", pytrace=False)


@pytest.fixture(scope="session")
def chrome() -> Iterator[Any]:
    """One Chromium for the whole session: Playwright cannot be started twice in a thread."""
    import browser

    with browser.browser() as found:
        yield found


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores, up to four: browsers and kernels let a core wait now and then."""
    return min(4, (os.cpu_count() or 1) + 1)
