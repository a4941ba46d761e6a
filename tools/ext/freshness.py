"""Sphinx extension: no page is older than anything it depends on, however the build is started.

Before pages are read, the execution cache is emptied unless it was filled under the present
fingerprint, and a fingerprint in the configuration makes Sphinx read every page again when it
changes. When one page changes all are written again (numbers, navigation and glued values travel
between pages). A mark beside the site says that its pages are whole, and of what they were made.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import fingerprint as fp
from sphinx.application import ENV_PICKLE_FILENAME, Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment


class Freshness:
    """What one build knows: the state of the sources at its start, and the pages it reads."""

    def __init__(self) -> None:
        self.state = fp.state()
        self.read: set[str] = set()

    def prepare(self, app: Sphinx, config: Config) -> None:
        """Tell Sphinx the fingerprints, and let it forget a build that was not whole."""
        os.environ.update(fp.kernel_environment())
        config["dpofield_fingerprint"] = [self.state["execution"], self.state["site"]]
        # Sphinx saves its view of the pages before it writes them. After an interruption it would
        # take an old page for a new one; after warnings it would not repeat them, and be content.
        mark = fp.mark_of(Path(app.outdir))
        if not mark.exists():
            (Path(app.doctreedir) / ENV_PICKLE_FILENAME).unlink(missing_ok=True)
        mark.unlink(missing_ok=True)

    def claim_cache(self, app: Sphinx) -> None:
        """Empty the execution cache if it is of another fingerprint."""
        cache = cache_of(app)
        if cache is not None:
            fp.claim(cache, self.state["execution"])

    def note_read(self, _app: Sphinx, _env: BuildEnvironment, names: list[str]) -> None:
        """Remember which pages are read in this build."""
        self.read = set(names)

    def write_all(self, _: Sphinx, env: BuildEnvironment) -> list[str]:
        """All pages, if any was read anew."""
        return sorted(env.found_docs - self.read) if self.read else []

    def finish(self, app: Sphinx, error: Exception | None) -> None:
        """Say that the pages are whole, if they are; disown a cache whose sources changed."""
        now = fp.state()
        cache = cache_of(app)
        if cache is not None and now["execution"] != self.state["execution"]:
            fp.disown(cache)
        if error is None and not app._warncount and now == self.state:
            fp.write_whole(fp.mark_of(Path(app.outdir)), json.dumps(now, indent=1))


def cache_of(app: Sphinx) -> Path | None:
    """Folder of the execution cache, once MyST-NB has settled it; None if there is none."""
    config = getattr(app.env, "mystnb_config", None)
    if config is None or config.execution_mode != "cache":
        return None
    return Path(config.execution_cache_path)


def setup(app: Sphinx) -> None:
    """Connect the extension; it is last to see a finished build."""
    build = Freshness()
    app.add_config_value("dpofield_fingerprint", None, "env", frozenset({list}))
    app.connect("config-inited", build.prepare, priority=100)
    app.connect("builder-inited", build.claim_cache, priority=900)  # after MyST-NB
    app.connect("env-before-read-docs", build.note_read)
    app.connect("env-get-updated", build.write_all)
    app.connect("build-finished", build.finish, priority=1000)
