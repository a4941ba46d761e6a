"""A figure's ES modules as one module, which a page can load from a blob and from `file://`.

A file in `js/` imports by name, `import { slider } from "./controls.js";`, and exports by `export`
before a declaration or by `export { a, b };`. In the bundle all files share one scope: imports are
dropped, exports stay, and no two files may declare the same name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from os.path import normpath
from pathlib import Path
from typing import NamedTuple

IMPORT = re.compile(
    r'^import \{\s*([\w$]+(?:,\s*[\w$]+)*),?\s*\} from "(\.[^"]+)";\n', re.MULTILINE
)
OTHER_IMPORT = re.compile(r"^(import\b(?![.(])|export (\*|\{[^}]*\} from)).*", re.MULTILINE)
DECLARATION = re.compile(
    r"^(export )?(?:(default)\b|(?:async )?(?:const|let|class|function)\b\*? ?([\w$]+|[\[{][^=]+))",
    re.MULTILINE,
)
EXPORTS = re.compile(r"^export \{([\w$,\s]+)\};", re.MULTILINE)
COMMENT_LINE = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
NAME = re.compile(r"[\w$]+")


class ModuleError(ValueError):
    """Modules do not fit together; the message names the file and what is wrong in it."""


class Module(NamedTuple):
    """A file without its import lines, and the names that it imports, declares and exports."""

    body: str
    imports: list[tuple[Path, list[str]]]
    declared: set[str]
    exported: set[str]


@cache
def parse(path: Path, text: str) -> Module:
    """The module of a file; `ModuleError` for an unused import or an import of another form."""
    text = COMMENT_LINE.sub("", text)
    body = IMPORT.sub("", text)
    if other := OTHER_IMPORT.search(body):
        raise ModuleError(
            f'{path.name}: `{other[0]}` is not of the form `import {{ a, b }} from "./file.js";`'
        )
    code = re.sub(" // .*", "", body)
    imports = []
    for found in IMPORT.finditer(text):
        names = NAME.findall(found[1])
        for name in names:
            if not re.search(rf"(?<![\w$])(?<![^.]\.){re.escape(name)}(?![\w$])", code):
                raise ModuleError(f"{path.name} imports {name} from {found[2]} and never uses it")
        imports.append((Path(normpath(path.parent / found[2])), names))
    declared: set[str] = set()
    exported = {name for found in EXPORTS.finditer(body) for name in NAME.findall(found[1])}
    for found in DECLARATION.finditer(body):
        names = NAME.findall(found[2] or found[3])
        declared.update(names)
        exported.update(names if found[1] else ())
    return Module(body, imports, declared, exported)


def bundle(entry: Path, made: Mapping[str, str]) -> str:
    """The text of `entry` and of its imports, direct and indirect, each before its first use.

    `made` holds modules that are not on the disk: text by file name. Comment lines are left out, so
    they do not change the result.

    Raises `ModuleError` naming the file for: a missing file, a name that is imported but not
    exported, imported but not used, or declared at the top level of two files, a circular import,
    and an import of another form.
    """
    modules: dict[Path, Module] = {}
    owners: dict[str, Path] = {}

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        if path in trail:
            circle = " -> ".join(one.name for one in (*trail[trail.index(path) :], path))
            raise ModuleError(f"modules import each other in a circle: {circle}")
        if path in modules:
            return
        if path.name not in made and not path.is_file():
            raise ModuleError(f"{trail[-1].name if trail else 'a figure'} imports {path.name}, "
                              f"which is not in {path.parent.name}/")  # fmt: skip
        module = parse(path, made.get(path.name) or path.read_text(encoding="utf-8"))
        for source, names in module.imports:
            visit(source, (*trail, path))
            if missing := sorted(set(names) - modules[source].exported):
                raise ModuleError(
                    f"{path.name} imports {', '.join(missing)}, which {source.name} does not export"
                )
        for name in sorted(module.declared):
            if other := owners.get(name):
                raise ModuleError(f"{name} is declared in {other.name} and in {path.name}")
            owners[name] = path
        modules[path] = module

    visit(entry, ())
    return "\n".join(module.body for module in modules.values())
