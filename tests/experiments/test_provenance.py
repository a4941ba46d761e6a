"""Which changes of the code change the hash of a recorded row."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dpofield.experiments import provenance
from dpofield.experiments.provenance import code_hash

HERE = Path(provenance.__file__).resolve().parents[1]
SIGN = "expr=-logsigmoid("


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, which is hashed instead of the imported package."""
    copy = tmp_path / "dpofield"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "__file__", str(copy / "experiments" / "provenance.py"))
    return copy


def test_what_the_code_hash_sees(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of code changes the hash; a change of a comment or docstring does not."""

    def edited(name: str, old: str, new: str) -> bool:
        """Whether the hash changes if `old` is replaced; an empty `old` appends `new`."""
        path, before = package / name, code_hash.__wrapped__()
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} no longer has {old!r}: update this test"
        path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
        after = code_hash.__wrapped__()
        path.write_text(text, encoding="utf-8")
        return before != after

    assert edited("formulas/losses/margin.py", SIGN, "expr=logsigmoid(")
    for name in ("lab/descent", "experiments/rows", "experiments/config", "__init__"):
        assert edited(f"{name}.py", "", "\nADDED = 1\n"), name
    assert not edited("formulas/losses/margin.py", SIGN, f"# a comment\n        {SIGN}")
    assert not edited("experiments/rows.py", '"""', '"""Another docstring. ')
    for name in ("experiments/findings/__init__", "experiments/stats", "widgets/figure"):
        assert not edited(f"{name}.py", "", "\nADDED = 1\n"), name

    before = code_hash.__wrapped__()
    monkeypatch.setattr(provenance, "version", lambda name: "0")
    assert code_hash.__wrapped__() != before
