"""`python -m dpofield.lab.check FILE` says which pairs of a file can be read, and what is wrong."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from dpofield.lab.chat import Conversation
from dpofield.lab.pairs import read_pairs

_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a report of one file; 0 if every row can be read, else 1."""
    parser = argparse.ArgumentParser(prog="python -m dpofield.lab.check", description=__doc__)
    parser.add_argument("file", help="JSON lines, CSV, Parquet, or a folder of save_to_disk")
    parser.add_argument("--encoding", help="of a text file that is not UTF-8, for example cp1252")
    parser.add_argument("--split", help="of a folder with several splits")
    given = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings(action="ignore"):
            pairs = read_pairs(
                given.file, skip_bad=True, encoding=given.encoding, split=given.split
            )
    except (ValueError, OSError, ImportError) as error:
        print(error)
        return 1
    chats = sum(isinstance(pair, Conversation) for pair in pairs)
    print(f"{given.file}: {len(pairs)} pairs can be read, {chats} of them as chat messages.")
    print(f"The first is {pairs[0]!r}.")
    if pairs.reference is not None:
        print("They have reference log-probabilities.")
    starts = [p.prompt for p in pairs if f"{p.preferred}".startswith(f"{p.prompt}")]
    if len(starts) == len(pairs):
        print("Every preferred response begins with its prompt: a model would read it twice.")
    if pairs.skipped:
        print(f"{len(pairs.skipped)} rows cannot be read:")
        print("\n".join(pairs.skipped[:_SHOWN] + ("...",) * (len(pairs.skipped) > _SHOWN)))
    return 1 if pairs.skipped else 0


if __name__ == "__main__":
    # A terminal may lack characters of the texts.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
