"""The JavaScript sources: modules that fit together, their bundle, no hand-written mathematics."""

from __future__ import annotations

import json
import re
import subprocess

import lint
import node
import pytest

from dpofield.formulas.printers import JS_PRELUDE
from dpofield.widgets.demo import DEMOS
from dpofield.widgets.figure import FOLDER, literal
from dpofield.widgets.modules import ModuleError, bundle

A = 'import { b } from "./b.js";\nexport const a = b + 1;\n'


def files(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text)
    return folder / "a.js"


def test_a_bundle_has_each_module_once_and_in_order(tmp_path):
    """A module comes once, before all modules that use it; a generated module counts as a file; a
    comment line changes nothing."""
    b = 'import { c } from "./c.js";\nexport const b = 10 * c;\n'
    a = 'import { b } from "./b.js";\nimport {\n  c, d,\n} from "./c.js";\n'
    a += "export { whole };\nconst whole = [b, c, ...d];\nexport default whole;\n"
    c = "export const c = 1;\nexport const [d] = [[2]];\n"
    text = bundle(files(tmp_path, a=a, b=b), {"c.js": c})
    assert lint.syntax(text) == ""
    script = "const { default: it } = await import('./it.mjs'); console.log(JSON.stringify(it));"
    (tmp_path / "it.mjs").write_text(text)
    command = [node.node(), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [10, 1, 2]
    assert bundle(files(tmp_path, a="// Says why.\n" + a), {"c.js": c}) == text


@pytest.mark.parametrize(
    ("b", "c", "says"),
    [
        (None, None, r"a\.js imports b\.js, which is not in"),
        ("export const other = 1;\n", None, r"a\.js imports b, which b\.js does not export"),
        ("const b = 1;\n", None, r"a\.js imports b, which b\.js does not export"),
        (
            'import { c } from "./c.js";\nexport const b = x.c; // c\n',
            "export const c = 1;\n",
            r"b\.js imports c from \./c\.js and never uses it",
        ),
        (
            'import { a } from "./a.js";\nexport const b = () => a;\n',
            None,
            r"circle: a\.js -> b\.js -> a\.js",
        ),
        ("export const b = 1;\nconst a = 2;\n", None, r"a is declared in b\.js and in a\.js"),
        ("export const b = 1;\nfunction a() {}\n", None, r"a is declared in b\.js and in a\.js"),
        ("export const b = 1;\nlet [x, a] = [1];\n", None, r"a is declared in b\.js and in a\.js"),
        ('import * as c from "./c.js";\nexport const b = c;\n', "", r"b\.js: `import \* as c"),
        ('import c from "./c.js";\nexport const b = c;\n', "", r"b\.js: `import c from"),
        ('import { c as b } from "./c.js";\nexport { b };\n', "", r"b\.js: `import \{ c as b"),
        ('export { c as b } from "./c.js";\n', "", r"b\.js: `export { c as b }"),
    ],
)
def test_modules_that_do_not_fit_are_refused_by_name(tmp_path, b, c, says):
    """The message names the file and the name. No such error may first appear in a browser."""
    texts = {"a": A} | {name: text for name, text in (("b", b), ("c", c)) if text is not None}
    with pytest.raises(ModuleError, match=says):
        bundle(files(tmp_path, **texts), {})


@pytest.mark.parametrize("name", DEMOS)
def test_a_bundle_is_what_node_makes_of_the_modules(name, tmp_path):
    """Node's loader resolves every import, and its exports are those of the bundle."""
    figure = DEMOS[name]()
    for path in FOLDER.glob("*.js"):
        (tmp_path / path.name).write_text(path.read_text("utf8"), "utf8")
    values = (f"export const {key} = {literal(value)};" for key, value in figure.exports().items())
    (tmp_path / "formulas.js").write_text("\n".join([JS_PRELUDE, *values]), "utf8")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "bundle.js").write_text(figure._esm, "utf8")
    assert lint.syntax(figure._esm) == ""
    entry = name.replace("-", "_")
    script = f"""
    const [files, whole] = await Promise.all([import("./{entry}.js"), import("./bundle.js")]);
    console.log(Object.keys(files).filter((key) => !(key in whole)).join(),
      typeof files.default.render, typeof whole.default.render);"""
    command = [node.node(), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == ["function", "function"]
    used = set(re.findall(r"[\w$]+", "\n".join(p.read_text("utf8") for p in FOLDER.glob("*.js"))))
    assert set(figure.exports()) <= used


def test_every_export_is_imported():
    """Every export is used by another module or by a test."""
    texts = {path.name: path.read_text("utf8") for path in FOLDER.glob("*.js")}
    tests = "\n".join(p.read_text("utf8") for p in FOLDER.parents[3].glob("tests/widgets/*.py"))
    slider = FOLDER.parents[1].rglob("slider.js")
    imports = "\n".join(
        found
        for text in (*texts.values(), *(path.read_text("utf8") for path in slider), tests)
        for found in re.findall(r"import \{([^}]*)\} from", text)
    )
    for file, text in texts.items():
        names = re.findall(r"^export (?:async )?(?:const|function|class) (\w+)", text, re.MULTILINE)
        assert [n for n in names if not re.search(rf"\b{n}\b", imports)] == [], file


TYPED = {
    "a logarithm": "export const f = (p) => Math.log(p);",
    "an exponential": "export const f = (x) => 1 / (1 + Math.exp(-x));",
    "expm1": "export const f = (x) => Math.expm1(x);",
    "a root": "export const f = (y) => Math.sqrt(y);",
    "a power": "export const f = (x, y) => x ** y;",
    "a power in place": "export const f = (x) => { let y = x; y **= 2; return y; };",
    "tanh": "export const f = (x) => Math.tanh(x);",
    "a constant": "export const f = (x) => x * Math.LN2;",
    "by a string": 'export const f = (x) => Math["log"](x);',
    "by another name": "const { log } = Math;\nexport const f = (x) => log(x);",
    "handed on": "export const f = (all) => all.map(Math.log1p);",
    "from the window": "export const f = (x) => globalThis.Math.log(x);",
    "a printed helper": "export const f = (x) => sigmoid(x);",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The messages of ESLint about the snippets, by name, from one run."""
    folder = tmp_path_factory.mktemp("typed")
    good = "export const f = (x, y) => Math.hypot(Math.abs(x), Math.max(y, 0));"
    texts = {
        **TYPED,
        "geometry": good,
        "unused": "export const f = (x) => 1;",
        "syntax": "const = 1",
    }
    for i, text in enumerate(texts.values()):
        (folder / f"{i}.js").write_text(text + "\n")
    done = lint.eslint("--format=json", ".", cwd=folder)
    said = {int(one["filePath"].rsplit("/")[-1].removesuffix(".js")): one["messages"]
            for one in json.loads(done.stdout)}  # fmt: skip
    return {name: " ".join(m["message"] for m in said[i]) for i, name in enumerate(texts)}


@pytest.mark.parametrize("what", TYPED)
def test_typed_mathematics_is_refused(found, what):
    """No hand-written file may compute mathematics that SymPy should print, in any spelling."""
    assert "is mathematics" in found[what] or "'sigmoid' is not defined" in found[what]


def test_the_linter_lets_geometry_be(found):
    """Geometry is allowed; unused names and syntax errors are reported."""
    assert found["geometry"] == ""
    assert "never used" in found["unused"]
    assert "Parsing error" in found["syntax"]


def test_our_javascript_is_clean():
    """ESLint on all files: syntax, undefined and unused names, no mathematics, and no permission to
    compute that is not needed."""
    done = lint.eslint(*lint.OURS)
    assert done.returncode == 0, done.stdout + done.stderr
