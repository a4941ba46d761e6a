"""A master: one MyST Markdown file from which everything about an assignment is made.

A cell has at most one tag, which begins with its role (`ROLES`). The top matter has a block
``coursework`` with the tasks and the parameters of the variants. In the text, ``{{name}}`` and
``{{name.key}}`` are replaced by parameters, and ``{{about.TASK}}`` by a line on points, time and
difficulty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml

from coursework.judge import Collector, HiddenTest, vocabulary
from coursework.session import Limits

ROOT = Path(__file__).resolve().parent.parent
MASTERS = ROOT / "coursework" / "masters"
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS\n(.*?)^### END HIDDEN TESTS$", re.M | re.S)
LEVELS = {"easy": "★☆☆", "medium": "★★☆", "hard": "★★★"}
ROLES = ("setup", "answer", "checks", "words", "open")


class MasterError(Exception):
    """A mistake in a master; the message names the place and the remedy."""


@dataclass(frozen=True)
class Task:
    """A task that is graded by hidden tests."""

    name: str
    title: str
    minutes: int
    level: str
    tests: tuple[HiddenTest, ...]

    @property
    def points(self) -> int:
        """Points of all tests together."""
        return sum(test.points for test in self.tests)


@dataclass(frozen=True)
class Reading:
    """A question that a person reads: answered in words, or open."""

    name: str
    title: str
    minutes: int
    level: str
    points: int
    rubric: str


@dataclass(frozen=True)
class Assignment:
    """A master in one variant, with solutions and hidden tests: not for students."""

    name: str
    title: str
    variant: int
    notebook: nbformat.NotebookNode
    tasks: tuple[Task, ...]
    readings: tuple[Reading, ...]
    limits: Limits
    parameters: dict[str, Any]

    @property
    def points(self) -> int:
        """Points that hidden tests give, without those that a person gives."""
        return sum(task.points for task in self.tasks)

    def cell(self, role: str, name: str = "") -> nbformat.NotebookNode:
        """The cell of a role; `name` is the task if the role has several cells."""
        wanted = f"{role}-{name}" if name else role
        (found,) = [c for c in self.notebook.cells if wanted in c.metadata.get("tags", [])]
        return found


def masters(root: Path = MASTERS) -> dict[str, Path]:
    """The path of every master by assignment name, which its folder and file share."""
    return {path.stem: path for path in sorted(root.glob("*/*.md"))}


def load(name: str, variant: int = 0, root: Path = MASTERS) -> Assignment:
    """Read a master. Raises MasterError for an unknown name and for any mistake in the file.

    >>> load("01-bradley-terry-to-dpo").variant
    0
    """
    found = masters(root)
    if name not in found:
        raise MasterError(f"there is no assignment {name!r}; there are {', '.join(found)}")
    if variant < 0:
        raise MasterError(f"--variant {variant}: variants are numbered from 0")
    return parse(found[name].read_text(encoding="utf-8"), name, variant)


def parse(text: str, name: str, variant: int) -> Assignment:
    """The assignment that a master's text defines, in one variant."""
    try:
        _, top, body = text.split("---\n", 2)
        settings = yaml.safe_load(top)["coursework"]
    except (ValueError, KeyError, yaml.YAMLError) as error:
        raise MasterError(f"{name}: the top matter needs a block 'coursework'") from error
    parameters = choose(settings.get("parameters", {}), variant)
    # Twice, since the value of a parameter may contain another parameter.
    draft = _cells(fill(fill(body, parameters, name), parameters, name), name)
    tasks = tuple(_task(draft, key, entry, name) for key, entry in settings["tasks"].items())
    readings = tuple(
        _reading(draft, key, entry, name) for key, entry in settings["readings"].items()
    )
    parts: list[Task | Reading] = [*tasks, *readings]
    about = {part.name: _about(part) for part in parts}
    for cell in draft.cells:
        cell.source = fill(cell.source, {"about": about}, name, last=True)
    folders = tuple(ROOT / folder for folder in settings.get("folders", []))
    limits = Limits(
        seconds=float(settings.get("seconds", 20)),
        memory_mb=int(settings.get("memory_mb", 2048)),
        modules=tuple(settings.get("modules", ["numpy", "sympy"])),
        folders=folders,
    )
    return Assignment(name, settings["title"], variant, draft, tasks, readings, limits, parameters)


def choose(parameters: dict[str, list[Any]], variant: int) -> dict[str, Any]:
    """The parameter values of a variant: the N-th of each list, counted cyclically.

    Lists of coprime lengths give as many variants as the product of their lengths.

    >>> choose({"beta": [0.1, 0.5], "loss": ["logistic", "probit", "square"]}, 4)
    {'beta': 0.1, 'loss': 'probit'}
    """
    return {name: values[variant % len(values)] for name, values in parameters.items()}


def fill(text: str, values: dict[str, Any], name: str, *, last: bool = False) -> str:
    """Replace ``{{key}}`` and ``{{key.inner}}``; unknown keys stay, or are an error if `last`.

    >>> fill("beta is {{beta}}", {"beta": 0.1}, "demo")
    'beta is 0.1'
    """

    def value(found: re.Match[str]) -> str:
        key, _, inner = found[1].partition(".")
        try:
            return str(values[key][inner] if inner else values[key]).rstrip("\n")
        except (KeyError, TypeError):
            if last:
                raise MasterError(f"{name}: {found[0]} is no parameter") from None
            return found[0]

    return re.sub(r"\{\{([a-z_][\w.-]*)\}\}", value, text)


def _cells(body: str, name: str) -> nbformat.NotebookNode:
    notebook = jupytext.reads(body, fmt="md:myst")
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if len(tags) > 1 or any(tag.partition("-")[0] not in ROLES for tag in tags):
            raise MasterError(f"{name}: a cell has the tags {tags}; it may have one of {ROLES}")
    return notebook


def _one(notebook: nbformat.NotebookNode, tag: str, name: str) -> nbformat.NotebookNode:
    found = [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    if len(found) != 1:
        raise MasterError(f"{name}: {len(found)} cells have the tag {tag}; there must be one")
    return found[0]


def _task(notebook: nbformat.NotebookNode, key: str, entry: Any, name: str) -> Task:
    answer = _one(notebook, f"answer-{key}", name)
    if "### BEGIN SOLUTION\n" not in answer.source:
        raise MasterError(f"{name}: answer-{key} has no line '### BEGIN SOLUTION'")
    hidden = HIDDEN.findall(_one(notebook, f"checks-{key}", name).source)
    if len(hidden) != 1:
        raise MasterError(f"{name}: checks-{key} has {len(hidden)} blocks of hidden tests, not 1")
    collector = Collector()
    exec(compile(hidden[0], f"<{name}, hidden tests of {key}>", "exec"), vocabulary(collector))
    if not collector.tests:
        raise MasterError(f"{name}: checks-{key} has no function under @hidden(points, kind)")
    return Task(str(key), *_effort(entry, key, name), tuple(collector.tests))


def _reading(notebook: nbformat.NotebookNode, key: str, entry: Any, name: str) -> Reading:
    source = _one(notebook, key, name).source
    rubric = re.findall(r"### BEGIN MARK SCHEME\n(.*?)### END MARK SCHEME", source, re.S)
    if len(rubric) != 1:
        raise MasterError(f"{name}: {key} needs one block '### BEGIN MARK SCHEME'")
    effort = _effort(entry, key, name)
    return Reading(key, *effort, int(entry["points"]), rubric[0].strip())


def _effort(entry: Any, key: str, name: str) -> tuple[str, int, str]:
    try:
        title, minutes, level = entry["title"], int(entry["minutes"]), entry["level"]
        LEVELS[level]
    except (KeyError, TypeError, ValueError) as error:
        raise MasterError(
            f"{name}: {key} needs a title, minutes, and a level of {', '.join(LEVELS)}"
        ) from error
    return title, minutes, level


def _about(part: Task | Reading) -> str:
    facts = [
        f"{part.points} point{'s' * (part.points != 1)}",
        f"about {part.minutes} minutes",
        f"{LEVELS[part.level]} {part.level}",
    ]
    text = " · ".join(facts)
    if isinstance(part, Reading):
        return f"*{text}. A person reads this.*"
    kinds = list(dict.fromkeys(test.kind for test in part.tests))
    return f"*{text}. Hidden tests look at: {', '.join(kinds)}.*"
