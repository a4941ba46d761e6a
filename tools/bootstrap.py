"""Make the virtual environment of the book: ``python3 tools/bootstrap.py book`` (or ``test``).

This file runs on Python 2.7 and newer, so that an old Python gets a sentence and no SyntaxError;
`setup_venv.py` does the work.
"""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit(
            "Python 3.11 or newer is needed; {} is {}.{}. Install a newer Python and name it: "
            "make book PYTHON=python3.12".format(sys.executable, *sys.version_info[:2])
        )

    import setup_venv

    setup_venv.run()
