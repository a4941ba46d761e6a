"""Sphinx extension: no page is older than its sources, however the build is started.

A page is read again if its fingerprint has changed. First, its outputs are removed from the
execution cache if they have another fingerprint. If one page changes, all pages are written again,
because they share numbers, navigation and glued values. A mark file beside the site exists while
its pages are complete, and has the hashes of their sources.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import fingerprint as fp
from chapters import Cache, Chapter, read_chapter
from sphinx.application import ENV_PICKLE_FILENAME, Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

KEY = "dpofield_fingerprint"


class Freshness:
    """State of one build: the hashes of the sources at its start, and the pages it reads."""

    def __init__(self) -> None:
        self.start = fp.Snapshot()
        self.state = self.start.state()
        self.read: set[str] = set()
        self.cache: Cache | None = None
        self.executing: Chapter | None = None

    def prepare(self, app: Sphinx, config: Config) -> None:
        """Make Sphinx start again after an incomplete build, or one by other tools."""
        os.environ.update(fp.kernel_environment())
        config[KEY] = [self.start.site()]
        # Sphinx saves its environment before it writes the pages. After an interruption it would
        # treat old pages as new; after warnings it would not repeat them, and the build would pass.
        mark = fp.mark_of(Path(app.outdir))
        if not mark.exists():
            (Path(app.doctreedir) / ENV_PICKLE_FILENAME).unlink(missing_ok=True)
        mark.unlink(missing_ok=True)

    def outdated(self, _: Sphinx, env: BuildEnvironment, *__: set[str]) -> list[str]:
        """Pages that were last read under another fingerprint."""
        known = {name: env.metadata[name].get(KEY, "") for name in env.all_docs}
        return [name for name in known if known[name] != self.start.chapter(name)]

    def note_read(self, _app: Sphinx, _env: BuildEnvironment, names: list[str]) -> None:
        """Record which pages are read in this build."""
        self.read = set(names)

    def open_cache(self, app: Sphinx) -> None:
        """Open the execution cache, after MyST-NB has set its path."""
        config = getattr(app.env, "mystnb_config", None)
        if config is not None and config.execution_mode == "cache":
            self.cache = Cache(Path(config.execution_cache_path))

    def before_page(self, _: Sphinx, name: str, __: list[str]) -> None:
        """Remove stale outputs of a page from the cache, before MyST-NB looks for them."""
        chapter = read_chapter(fp.ROOT, name)
        found = chapter and self.cache and self.cache.find(chapter, self.start.chapter(name))
        self.executing = None if found else chapter

    def after_page(self, app: Sphinx, _: object) -> None:
        """Record the fingerprint of a page, and of its outputs if it was executed."""
        name = app.env.docname
        fingerprint = app.env.metadata[name][KEY] = self.start.chapter(name)
        if self.cache and self.executing and fp.Snapshot().chapter(name) == fingerprint:
            self.cache.mark(self.executing, fingerprint)

    def write_all(self, _: Sphinx, env: BuildEnvironment) -> list[str]:
        """All other pages, if any page was read again."""
        return sorted(env.found_docs - self.read) if self.read else []

    def finish(self, app: Sphinx, error: Exception | None) -> None:
        """Write the mark file if the pages are complete."""
        if error is None and not app._warncount and fp.Snapshot().state() == self.state:
            fp.write_whole(fp.mark_of(Path(app.outdir)), json.dumps(self.state, indent=1))


def setup(app: Sphinx) -> None:
    """Connect the extension; its `finish` runs last."""
    build = Freshness()
    app.add_config_value(KEY, None, "env", frozenset({list}))
    app.connect("config-inited", build.prepare, priority=100)
    app.connect("builder-inited", build.open_cache, priority=900)  # after MyST-NB
    app.connect("env-get-outdated", build.outdated)
    app.connect("env-before-read-docs", build.note_read)
    app.connect("source-read", build.before_page)
    app.connect("doctree-read", build.after_page)
    app.connect("env-get-updated", build.write_all)
    app.connect("build-finished", build.finish, priority=1000)
