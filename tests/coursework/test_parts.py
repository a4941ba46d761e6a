"""The parts that isolate student code: the jail, the wire format, the formula parser."""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

from coursework import formula
from coursework.__main__ import main
from coursework.judge import WrongError, close, equal, means, refuses
from coursework.sandbox import wire
from coursework.sandbox.wire import FormulaText
from coursework.session import (
    Cell,
    DiedError,
    Limits,
    Session,
    Student,
    StudentError,
    visible_folders,
)
from coursework.session import has_namespaces as jailed

needs_jail = pytest.mark.skipif(not jailed(), reason="no user namespaces here; the grader says so")

PROBE = """
import os, socket
def read(path): return open(path).read(20)
def write(path): return open(path, "w").write("x")
def names(path): return sorted(os.listdir(path))
def connect(): socket.create_connection(("192.0.2.1", 80), timeout=5)
def interfaces(): return [name for _, name in socket.if_nameindex()]
def privileges(): return [l for l in open("/proc/self/status") if l.startswith(("CapEff", "NoNew"))]
def unmount(path): import ctypes; return ctypes.CDLL(None).umount2(path.encode(), 2)
def environment(): return sorted(os.environ)
"""


@pytest.fixture(scope="module")
def probe() -> Any:
    """A student process with functions that examine the jail."""
    with Student([Cell("probe", PROBE)], Limits(modules=("numpy",))) as student:
        yield student


@needs_jail
def test_jail_shows_python_and_nothing_of_the_grader(probe: Student) -> None:
    """Protects: masters, submissions and the user's files cannot be read, whatever their path."""
    from coursework.master import MASTERS, ROOT

    for path in (str(MASTERS), str(ROOT / "pyproject.toml"), "/etc/passwd", "/etc/shadow"):
        with pytest.raises(StudentError, match=r"FileNotFoundError|PermissionError"):
            probe.call("read", path)
    assert probe.call("names", str(ROOT / "coursework")) == ["sandbox"]
    python = {Path(path).parts[2] for path in visible_folders(Limits()) if path[:5] == "/tmp/"}
    assert set(probe.call("names", "/tmp")) == {"work", *python}


@needs_jail
def test_jail_can_be_written_in_tmp_only(probe: Student) -> None:
    """Protects: student code cannot change the packages that the grader uses."""
    for path in (np.__file__, "/usr/bin/x", wire.__file__):
        with pytest.raises(StudentError, match="OSError"):
            probe.call("write", path)
    assert probe.call("write", "/tmp/mine") == 1


@needs_jail
def test_jail_has_no_network_no_neighbours_no_privileges(probe: Student) -> None:
    """Protects: nothing leaves the process but its answers."""
    with pytest.raises(StudentError, match="OSError"):
        probe.call("connect")
    assert probe.call("interfaces") == ["lo"]
    assert [name for name in probe.call("names", "/proc") if name.isdigit()] == ["1"]
    assert [line.split()[1] for line in probe.call("privileges")] == ["0000000000000000", "1"]
    assert probe.call("unmount", "/proc") == -1


def test_environment_is_bare(probe: Student) -> None:
    """Protects: no environment variable of the grader, such as a token, is passed on."""
    assert "USER" not in probe.call("environment")
    assert "PYTHONPATH" not in probe.call("environment")


@needs_jail
def test_jail_holds_wherever_the_checkout_lies(tmp_path: Path) -> None:
    """Protects: the jail works if readable folders are in /tmp, or anywhere else."""
    question = {"do": "call", "name": "read", "arguments": {"list": []}, "options": {"dict": {}}}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for place in (tmp_path, Path(folder)):
            (place / "given.txt").write_text("42")
            code = f"def read(): return open({str(place / 'given.txt')!r}).read()"
            with Session(Limits(modules=(), folders=(place,)), namespaces=True) as shut_in:
                shut_in.ask({"do": "cell", "name": "c", "source": code})
                assert shut_in.ask(question)["value"] == "42"


def test_nothing_is_graded_unprotected_unasked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects: the grader's files, where student code cannot be isolated."""
    monkeypatch.setattr("coursework.session.has_namespaces", lambda: False)
    command = ["coursework", "grade", "01-bradley-terry-to-dpo", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*command, "--to", str(tmp_path / "grades")])
    with pytest.raises(SystemExit, match="add --unprotected"):
        main()
    monkeypatch.setattr("sys.argv", [*sys.argv, "--unprotected"])
    main()
    assert "WARNING: only time and memory of student code" in capsys.readouterr().out


def test_limits_hold_without_a_jail() -> None:
    """Protects: time and memory are limited on a platform without namespaces too."""
    limits = Limits(seconds=1.0, memory_mb=512, modules=())
    code = "def eat(): return len(bytearray(10**9))\ndef loop():\n    while True: pass"
    with Session(limits, namespaces=False) as session:
        session.ask({"do": "cell", "name": "c", "source": code})
        question = {"do": "call", "arguments": {"list": []}, "options": {"dict": {}}}
        assert session.ask({**question, "name": "eat"})["error"]["type"] == "MemoryError"
        with pytest.raises(DiedError, match="longer than 1 s"):
            session.ask({**question, "name": "loop"})


VALUES = [
    None,
    True,
    3,
    2.5,
    -math.inf,
    1 + 2j,
    "text",
    [1, (2, {"a": [3.0]})],
    np.arange(6.0).reshape(2, 3),
    np.float32(1.5),
    np.array(7, np.uint8),
    np.zeros((0, 3)),
    torch.ones(2, 3, dtype=torch.bfloat16),
    torch.zeros(0),
    torch.tensor([True, False]),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_values_travel_unchanged(value: Any) -> None:
    """Protects: types, shapes and dtypes arrive as they were sent."""
    again = wire.decode(wire.encode(value))
    assert type(again) is type(value)
    if isinstance(value, torch.Tensor):
        assert again.dtype == value.dtype
        assert torch.equal(again, value)
    elif isinstance(value, (np.ndarray, np.generic)):
        assert again.dtype == value.dtype
        assert again.shape == value.shape
        np.testing.assert_array_equal(again, value)
    else:
        assert again == value


JUNK = [
    {},
    {"strange": 1},
    {"array": "O", "shape": [1], "data": "", "scalar": False},
    {"array": "<f8", "shape": [-1, 10**9], "data": "", "scalar": False},
    {"array": "<f8", "shape": [3], "data": "AAAA", "scalar": False},
    {"array": "V100", "shape": [0], "data": "", "scalar": False},
    {"tensor": "Tensor", "shape": [], "data": "", "grad": False},
    {"complex": ["a", 1]},
    {"dict": [1, 2]},
    {"list": {"list": 3}},
]


@pytest.mark.parametrize("plain", JUNK, ids=str)
def test_junk_on_the_wire_is_refused(plain: Any) -> None:
    """Protects: nothing that a student's process sends makes the grader do more than read data."""
    with pytest.raises(wire.WireError):
        wire.decode(plain)


def test_objects_do_not_travel() -> None:
    """Protects: a value that is not data arrives as the name of its type."""
    assert wire.decode(wire.encode([print, {1: 2}, np.array([print])])) == [
        wire.Other("builtin_function_or_method"),
        wire.Other("dict"),
        wire.Other("ndarray"),
    ]
    deep: Any = 1
    for _ in range(50):
        deep = [deep]
    assert "nested" in str(wire.encode(deep))


x = sp.Symbol("x", positive=True)
SAME = [
    (sp.log(1 + sp.exp(x)), -sp.log(1 / (1 + sp.exp(x)))),
    ((x**2 - 1) / (x - 1), x + 1),
    (sp.sqrt(x) ** 2, x),
    (0.1 * x, x / 10),
    (sp.tanh(x), (sp.exp(2 * x) - 1) / (sp.exp(2 * x) + 1)),
    (sp.cosh(x) - sp.sinh(x), sp.exp(-x)),
]


@pytest.mark.parametrize(("left", "right"), SAME, ids=str)
def test_formulas_count_by_meaning(left: sp.Expr, right: sp.Expr) -> None:
    """Protects: any equivalent form of an answer is right, and a slightly wrong one is not."""
    domain, rng = {"x": (1.5, 3.0)}, np.random.default_rng(0)
    given = FormulaText(sp.srepr(left))
    assert formula.agree(given, right, domain, rng)
    assert not formula.agree(given, right * sp.Rational(1000001, 1000000), domain, rng)


UNREADABLE = [
    "__import__('os').system('true')",
    "().__class__",
    "Symbol('y')",
    "Symbol(Symbol)",
    "Integer('1', '2'",
    "Lambda(Symbol('x'), Symbol('x'))",
    "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
    "exp(exp(exp(Integer(9))))",
    "exp(" * 100 + "Symbol('x')" + ")" * 100,
    "Integer(" + "9" * 30_000 + ")",
    "Float('x')",
    "[Symbol('x')]",
]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:40])
def test_what_is_no_formula_is_refused(text: str) -> None:
    """Protects: a formula is parsed, never executed, and never takes long."""
    with pytest.raises(formula.UnreadableError):
        formula.agree(FormulaText(text), x, {"x": (1.0, 2.0)}, np.random.default_rng(0))


def test_formula_that_is_not_defined_is_wrong() -> None:
    """Protects: an answer that is nan or infinite is wrong."""
    rng = np.random.default_rng(0)
    assert not formula.agree(FormulaText("log(Integer(0))"), x, {"x": (1.0, 2.0)}, rng)
    with pytest.raises(WrongError):
        means(math.nan, x, {"x": (1.0, 2.0)}, rng)
    with pytest.raises(WrongError):
        means(True, sp.Integer(1), {}, rng)


def test_judgements() -> None:
    """Protects: judgements compare shapes, infinities and types."""
    close([1.0, math.inf], [1.0, math.inf], rtol=1e-9)
    for got, want in (
        (math.nan, math.nan),
        ([1.0], 1.0),
        (math.inf, 1e300),
        (True, 1.0),
        ("1", 1.0),
        (wire.Other("f"), 1.0),
        ([1.0, [2.0]], [1.0, 2.0]),
        (1 + 1e-6, 1.0),
    ):
        with pytest.raises(WrongError):
            close(got, want, rtol=1e-9)
    with pytest.raises(WrongError):
        equal(1, 1.0)
    with pytest.raises(WrongError):
        refuses(lambda: 1)
    with pytest.raises(WrongError):
        refuses(lambda: (_ for _ in ()).throw(StudentError("KeyError")))
    refuses(lambda: (_ for _ in ()).throw(StudentError("ValueError")))
