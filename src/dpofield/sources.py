"""Find the modules of a package that a piece of code runs, and hash their code.

Both come from syntax trees, and nothing is imported. Comments, docstrings and layout do not change
the hash. If the modules cannot be determined exactly, too many are counted, never too few.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

# Code with one of these names can import modules without naming them: its whole package counts.
_FINDERS = {"import_module", "iter_modules", "walk_packages", "resolve_name", "run_module",
            "run_path", "spec_from_file_location"}  # fmt: skip
_BARE_FINDERS = {"__import__", "exec", "eval"}  # `model.eval()` is another function
# Code with one of these names can print docstrings or source lines: all text counts.
_TEXT_READERS = {"getdoc", "getsource", "getsourcelines", "getcomments", "linecache"}


@dataclass(frozen=True)
class Code:
    """Facts from the syntax tree of one source, before names are resolved.

    `imports` holds `(module, None)` if the module itself becomes a value, and `(module, name)` if
    a name is imported from it. `offers` maps each name that a module-level `__getattr__` can
    provide to its import; it is None without a `__getattr__`.
    """

    module: str
    package: str
    digest: str
    imports: frozenset[tuple[str, str | None]]
    offers: dict[str, tuple[str, str | None]] | None
    defined: frozenset[str]
    strings: frozenset[str]
    finds_modules: bool
    reads_text: bool


class _Reader(ast.NodeVisitor):
    """Collects the facts of a `Code`."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.imports: set[tuple[str, str | None]] = set()
        self.offers: dict[str, tuple[str, str | None]] = {}
        self.strings: set[str] = set()
        self.mentioned: set[str] = set()
        self.bare: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        test = node.test
        name = test.id if isinstance(test, ast.Name) else getattr(test, "attr", None)
        if name != "TYPE_CHECKING":
            self.generic_visit(node)
            return
        for statement in node.body:
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    self.offers[alias.asname or alias.name] = (self._base(statement), alias.name)
        for statement in node.orelse:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imports.add((alias.name, None))
            if not alias.asname and "." in alias.name:  # binds the first part of the name
                self.imports.add((alias.name.partition(".")[0], None))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.imports.add((self._base(node), alias.name))
            if alias.asname:
                self.mentioned.add(alias.name)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        return ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring, or without effect
            self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.strings.add(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        self.bare.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.mentioned.add(node.attr)
        self.visit(node.value)


def _tree(node: object) -> str:
    """A syntax tree as text, equal in all versions of Python: empty fields are omitted."""
    if isinstance(node, list):
        return f"[{','.join(_tree(part) for part in node if not _is_note(part))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{k}={_tree(v)}" for k, v in ast.iter_fields(node) if v is not None and v != [])
    return f"{type(node).__name__}({','.join(fields)})"


def _is_note(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_data(path: Path) -> str:
    """SHA-256 of a data file; in JavaScript, lines that are comments do not count."""
    content = path.read_bytes()
    if path.suffix == ".js":
        content = re.sub(rb"^[ \t]*//.*\n", b"", content, flags=re.M)
    return hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=4096)
def read_code(text: str, module: str = "", package: str = "") -> Code:
    """Facts of a source text. A text that is not Python may import and read anything.

    >>> read_code("import math  # why").digest == read_code("'''Why.'''\\nimport math").digest
    True
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:
        none: frozenset[str] = frozenset()
        return Code(
            module, package, _hash(text), frozenset(), None, none, frozenset([text]), True, True
        )
    reader = _Reader(package)
    hook = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "__getattr__"]
    for node in tree.body:
        if node not in hook:
            reader.visit(node)
    defined = frozenset(_defined(tree))
    finds = bool(_FINDERS & (reader.mentioned | reader.bare) or _BARE_FINDERS & reader.bare)
    for node in hook:  # after `finds`: the hook imports only what `offers` lists
        reader.visit(node)
    own_text = "__doc__" in reader.bare
    return Code(
        module=module,
        package=package,
        digest=_hash(text if own_text else _tree(tree.body)),
        imports=frozenset(reader.imports),
        offers=reader.offers if "__getattr__" in defined else None,
        defined=defined,
        strings=frozenset(reader.strings),
        finds_modules=finds,
        reads_text=bool(_TEXT_READERS & (reader.mentioned | reader.bare))
        or "__doc__" in reader.mentioned
        or "help" in reader.bare,
    )


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        for part in [node] if hasattr(node, "name") else ast.walk(node):
            if isinstance(part, ast.Name):
                yield part.id
            elif isinstance(part, ast.alias):
                yield part.asname or part.name
            elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield part.name


class Sources:
    """The modules of the package in the folder `package`; each file is read once, on first use.

    `files` maps a module to the file that its import runs, or to None for a folder without
    `__init__.py`. `data` maps a package to the files in its folder that are not Python.
    """

    def __init__(self, package: Path) -> None:
        self.folder = package.resolve()
        self.name = self.folder.name
        self.files: dict[str, Path | None] = {}
        self.data: dict[str, list[Path]] = {}
        self.code = cache(self._code)
        self.runs = cache(lambda module: tuple(self._runs(self.code(module))))
        data = []
        for path in sorted(self.folder.rglob("*")):
            *folders, last = path.relative_to(self.folder).parts
            if last.startswith(".") or any(f[0] == "." or f == "__pycache__" for f in folders):
                continue
            if path.suffix != ".py" and path.is_file():
                data.append(path)
            elif path.suffix == ".py":
                parents = [".".join([self.name, *folders[:n]]) for n in range(len(folders) + 1)]
                for parent in parents:
                    self.files.setdefault(parent, None)
                name = parents[-1] if last == "__init__.py" else f"{parents[-1]}.{path.stem}"
                if last == "__init__.py" or not self.files.get(name):  # a package hides a module
                    self.files[name] = path
        packages = {p.parent: m for m, p in self.files.items() if p and p.name == "__init__.py"}
        for path in data:
            home = next((packages[p] for p in path.parents if p in packages), self.name)
            self.data.setdefault(home, []).append(path)

    def _code(self, module: str) -> Code:
        path = self.files[module]
        if path is None:
            return read_code("", module, module)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        return read_code(path.read_text(encoding="utf-8"), module, package)

    def modules(self, package: str | None = None) -> list[str]:
        """Every module of `package` (default: all), the package itself first."""
        return sorted(m for m in self.files if f"{m}.".startswith(f"{package or self.name}."))

    def _imported(self, module: str, name: str | None = None) -> Iterator[str]:
        """Modules that one import statement runs directly."""
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            parent = ".".join(parts[:length])
            if parent not in self.files:
                return
            yield parent
        code = self.code(module)
        if name is None:
            # The module is a value, so each name that it offers can be read as an attribute.
            for base, offered in (code.offers or {}).values():
                yield from self._imported(base, offered)
        elif name == "*":
            yield from self.modules(module)
        elif f"{module}.{name}" in self.files:
            yield from self._imported(f"{module}.{name}")
        elif code.offers is not None and name in code.offers:
            yield from self._imported(*code.offers[name])
        elif code.offers is not None and name not in code.defined:
            yield from self.modules(module)

    def _runs(self, code: Code) -> Iterator[str]:
        """Modules that a source runs, or may run, directly."""
        for module, name in code.imports:
            yield from self._imported(module, name)
        for text in code.strings:  # used by import_module, `python -m`, or another hash
            if f"{text}.".startswith(f"{self.name}."):
                package = text.rstrip(".")
                if package in self.files:
                    yield from self._imported(package)
                    yield from self.modules(package) if text != package else ()
        if code.finds_modules:
            yield from self.modules(code.package or None)
        if (self.name, None) in code.imports:  # each loaded module is an attribute of it
            yield from self.modules()

    def closure(self, *codes: Code) -> frozenset[str]:
        """The sources and every module that they run, directly or indirectly."""
        found: set[str] = set()
        waiting = [m for code in codes for m in (*filter(None, [code.module]), *self._runs(code))]
        while waiting:
            module = waiting.pop()
            if module not in found:
                found.add(module)
                waiting += self.runs(module)
        return frozenset(found)

    def digest(self, modules: Iterable[str], text: bool = False) -> str:
        """SHA-256 of the code of these modules, and of the data files in the folders of packages.

        With `text`, or if a module reads docstrings or source lines, comments count too.
        """
        names = sorted(set(modules))
        codes = [self.code(name) for name in names]
        text = text or any(code.reads_text for code in codes)
        lines = []
        for name, code in zip(names, codes, strict=True):
            path = self.files[name]
            content = _hash(path.read_text("utf-8")) if text and path else code.digest
            lines.append(f"{name} {content}")
            for file in self.data.get(name, ()):
                lines.append(f"{file.relative_to(self.folder).as_posix()} {_hash_data(file)}")
        return _hash("\n".join(lines))
