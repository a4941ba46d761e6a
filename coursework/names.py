"""Names that students choose, made safe for reports, terminals and file systems.

A file name may have bytes that are no UTF-8, line ends, or the length of a page. A student's name
is one printable line, and a name of a report is one that Linux, macOS and Windows accept.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

REORDERS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # shows a text in another order
FORBIDDEN = re.compile(r'[<>:"/\\|?*]|[. ]+$')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)
LONGEST = 100  # bytes of a report's name; a file system allows 255


def printable(text: str) -> str:
    r"""The text as one line that every file and terminal can hold.

    >>> printable("J\udcfcrgen\n"), printable("Zoe\u0308")
    ('J\\xfcrgen\\n', 'Zoë')
    """
    return "".join(map(_shown, unicodedata.normalize("NFC", text)))


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or REORDERS.match(character):
        return character.encode("unicode_escape").decode("ascii")
    return character


def file_names(students: Iterable[str]) -> dict[str, str]:
    """A file name per student, without suffix: legal everywhere, and never that of another.

    >>> file_names(["anna", "@ben", "a/b"])
    {'anna': 'anna', '@ben': '@ben', 'a/b': 'a_b-c14cddc0'}
    """
    names = {student: FORBIDDEN.sub("_", student) for student in students}
    folded = Counter(name.casefold() for name in names.values())
    for student, name in names.items():
        plain = name == student and len(name.encode()) <= LONGEST
        if not plain or RESERVED.match(name) or folded[name.casefold()] > 1:
            cut = name.encode()[:LONGEST].decode("utf-8", "ignore")
            names[student] = f"{cut}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"
            if RESERVED.match(name):
                names[student] = f"_{names[student]}"
    return names
