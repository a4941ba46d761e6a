"""Sphinx extension: no page is older than anything it depends on, however the build is started.

Before pages are read, the execution cache is emptied unless it was filled under the present
fingerprint, and a fingerprint in the configuration makes Sphinx read every page again when it
changes. When one page changes all are written again (numbers, navigation and glued values travel
between pages). A mark beside the site says that its pages are whole, and of what they were made.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fingerprint as fp


def prepare(app: Sphinx, config: Config) -> None:
    """Take the fingerprints, and drop the pages of a build that was not finished."""
    os.environ.update(fp.kernel_environment())
    app._dpofield_state = state = fp.state()  # type: ignore[attr-defined]
    config["dpofield_fingerprint"] = [state["execution"], state["site"]]
    # Sphinx saves its view of the pages before it writes them: after an interruption it would
    # take an old page for a new one.
    mark = fp.mark_of(Path(app.outdir))
    if not mark.exists():
        for page in Path(app.outdir).rglob("*.html"):
            page.unlink()
    mark.unlink(missing_ok=True)


def cache_of(app: Sphinx) -> Path | None:
    """Folder of the execution cache, once MyST-NB has settled it; None if there is none."""
    config = app.env.mystnb_config
    return Path(config.execution_cache_path) if config.execution_mode == "cache" else None


def claim_cache(app: Sphinx) -> None:
    """Empty the execution cache if it is of another fingerprint."""
    cache = cache_of(app)
    if cache is not None:
        fp.claim(cache, app._dpofield_state["execution"])  # type: ignore[attr-defined]


def write_all(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """All pages, if any was read anew."""
    read: set[str] = getattr(app, "_dpofield_read", set())
    return sorted(env.found_docs - read) if read else []


def note_read(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Remember which pages are read in this build."""
    app._dpofield_read = set(names)  # type: ignore[attr-defined]


def finish(app: Sphinx, error: Exception | None) -> None:
    """Say that the pages are whole, if they are; disown the cache if its sources have changed."""
    before: dict[str, str] = app._dpofield_state  # type: ignore[attr-defined]
    now = fp.state()
    cache = cache_of(app)
    if now["execution"] != before["execution"] and cache is not None:
        fp.disown(cache)
    if error is None and not app._warncount and now == before:
        fp.write_whole(fp.mark_of(Path(app.outdir)), json.dumps(now, indent=1))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; it is last to see a finished build."""
    app.add_config_value("dpofield_fingerprint", None, "env", frozenset({list}))
    app.connect("config-inited", prepare, priority=100)
    app.connect("builder-inited", claim_cache, priority=900)  # after MyST-NB
    app.connect("env-before-read-docs", note_read)
    app.connect("env-get-updated", write_all)
    app.connect("build-finished", finish, priority=1000)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
