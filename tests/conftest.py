"""What every test runs under: one thread, fixed seeds, no display, no network."""

from __future__ import annotations

from hypothesis import settings

# The same examples on every machine and every run; timings are for benchmarks, not for tests.
settings.register_profile("dpofield", derandomize=True, deadline=None, database=None)
settings.load_profile("dpofield")
