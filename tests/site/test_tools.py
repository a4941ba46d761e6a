"""Node from the wheel, reduced fonts, one style sheet."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import node
import pytest
from ext import fonts, styles, theme
from fontTools.ttLib import TTFont

TOOLS = Path(node.__file__).parent


def test_node_runs() -> None:
    """The wheel's Node starts and is new enough for the packages."""
    done = subprocess.run([node.node(), "--version"], capture_output=True, text=True, check=True)
    assert int(re.match(r"v(\d+)", done.stdout)[1]) >= 22


def scratch_tools(folder: Path) -> Path:
    """A folder with a lock file without packages."""
    (folder / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
    lock = {"name": "x", "version": "1.0.0", "lockfileVersion": 3, "requires": True,
            "packages": {"": {"name": "x", "version": "1.0.0"}}}  # fmt: skip
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "node_modules").mkdir()  # npm makes no empty folder
    return folder


def test_npm_runs_only_when_the_lock_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """npm runs again only after a changed lock, a call with `dev`, or an interruption."""
    calls: list[list[str]] = []

    def npm(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(node.subprocess, "run", npm)
    tools = scratch_tools(tmp_path)
    node.node_modules(tools=tools)
    node.node_modules(tools=tools)
    assert len(calls) == 1
    assert "--omit=dev" in calls[0]
    node.node_modules(tools=tools, dev=True)
    node.node_modules(tools=tools)  # a folder with dev packages also works for the book
    assert len(calls) == 2
    assert "--omit=dev" not in calls[1]
    (tools / "package-lock.json").write_text("{}")
    node.node_modules(tools=tools)
    assert len(calls) == 3
    (tools / "node_modules" / node.STAMP).unlink()
    node.node_modules(tools=tools)
    assert len(calls) == 4


def test_npm_failure_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If npm fails, the error has its message and a remedy, and no stamp is written."""

    def npm(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "npm error code ENOTFOUND")

    monkeypatch.setattr(node.subprocess, "run", npm)
    with pytest.raises(node.NodeError, match=r"(?s)ENOTFOUND.*Remedy"):
        node.node_modules(tools=scratch_tools(tmp_path))
    assert not (tmp_path / "node_modules" / node.STAMP).exists()


def test_lock_names_no_registry_and_matches() -> None:
    """The lock holds pinned versions and hashes, and no host of a package index."""
    text = (TOOLS / "package-lock.json").read_text("utf8")
    assert '"resolved"' not in text
    wanted = json.loads((TOOLS / "package.json").read_text("utf8"))
    locked = json.loads(text)["packages"]
    for group in ("dependencies", "devDependencies"):
        assert locked[""][group] == wanted[group]
        for name, version in wanted[group].items():
            assert locked[f"node_modules/{name}"]["version"] == version, name
            assert locked[f"node_modules/{name}"]["integrity"]


def test_cut_font_keeps_what_mathematics_needs(tmp_path: Path) -> None:
    """The subset has the letters, the MATH table and its stretched parts, in 100 KB."""
    font = (node.node_modules() / fonts.MATH_FONT).read_bytes()
    cut = fonts.cut(font, fonts.BASICS | {ord("≪")}, tmp_path)
    assert len(cut) < 100_000
    with TTFont(io.BytesIO(cut)) as small, TTFont(io.BytesIO(font)) as whole:
        there = set(small.getBestCmap())
        assert (fonts.BASICS & set(whole.getBestCmap())) <= there
        variants = small["MATH"].table.MathVariants
        for sign in "()[]√{|":
            assert small.getBestCmap()[ord(sign)] in variants.VertGlyphCoverage.glyphs, sign


def test_cut_font_is_remembered(tmp_path: Path) -> None:
    """The font is reduced again only for another letter, not for the same letters."""
    font = (node.node_modules() / fonts.MATH_FONT).read_bytes()
    fonts.cut(font, {65, 66}, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"from the cache")
    assert fonts.cut(font, {66, 65}, tmp_path) == b"from the cache"
    fonts.cut(font, {65, 66, 67}, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_italic_letters_of_single_identifiers_are_kept() -> None:
    """A browser draws <mi>x</mi> with U+1D465, which no page contains."""
    for letter in "𝑎𝑥ℎ𝛽𝜎𝜋𝐿𝛥":
        assert ord(letter) in fonts.BASICS, letter


def test_purge_keeps_what_can_match(tmp_path: Path) -> None:
    """Only rules that cannot match are removed; pseudo-classes, fonts and at-rules stay."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "late.js").write_text('box.classList.add("late")')
    (tmp_path / "page.html").write_text('<p class="in fa-sun" hidden><a href="#">x</a></p>')
    css = """
      p { a: b } [hidden] { a: b } .in:hover > a { a: b } .out { a: b } .in.out { a: b }
      .in:not(.out) { a: b } .out, .in { a: b } #gone { a: b } /* .comment { a: b } */
      :focus-visible { a: b } .in[data-set-by="script"] { a: b } .late { a: b }
      .fa-sun:before { content: "\ue0ff" } /* a letter that ASCII lacks */
      @font-face { font-family: x; src: url("a;b{c}.woff2") } @keyframes k { from { a: b } }
      @media print { .out { a: b } } @media screen { .out { a: b } .in { c: d } }
    """
    kept = " ".join(styles.purge(css, tmp_path).split())
    assert re.findall(r"([^{}\s][^{}]*?) \{ a: b \}", kept) == [
        "p", "[hidden]", ".in:hover > a", ".in:not(.out)", ".in",
        ":focus-visible", '.in[data-set-by="script"]', ".late", "from",
    ]  # fmt: skip
    assert '.fa-sun:before { content: "\ue0ff" }' in kept
    assert 'url("a;b{c}.woff2")' in kept
    assert "@media print" not in kept
    assert "@media screen { .in { c: d } }" in kept


def test_imports_and_addresses_move_with_the_bundle(tmp_path: Path) -> None:
    """The URLs of a style sheet in a subfolder are valid in the bundle above it."""
    (tmp_path / "styles").mkdir()
    (tmp_path / "basic.css").write_text("p{c:d}")
    sheet = tmp_path / "styles" / "a.css"
    sheet.write_text('@import url("../basic.css");b{src:url(../f/x.woff2)}i{src:url("data:,x")}')
    css = styles.read(sheet, tmp_path)
    assert css == 'p{c:d}b{src:url(f/x.woff2)}i{src:url("data:,x")}'


def test_description_has_whole_words() -> None:
    """A description is cut between words and ends with an ellipsis."""
    words = theme.description("gradient field " * 40)
    assert len(words) <= theme.DESCRIPTION_LENGTH
    assert re.fullmatch(r"(gradient field ?)+(gradient)?…", words)


def test_nothing_built_is_committed() -> None:
    """Fonts and scripts of others come from pinned packages; git has none of them."""
    git = shutil.which("git")
    if git is None or not (TOOLS.parent / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files"], cwd=TOOLS.parent, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [name for name in listed if name.endswith((".woff", ".woff2", ".ttf", ".min.js"))]
