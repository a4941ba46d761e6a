"""The machine on which something was measured."""

from __future__ import annotations

import os
import platform


def machine() -> str:
    """System, processor type, cores and memory, without a host name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB"
