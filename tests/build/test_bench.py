"""The benchmarks measure what their names state; no test here depends on a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bench import training, work
from bench.__main__ import GROUPS, RESULTS, main
from bench.kernel import PROGRAMS
from bench.timing import Row, by_turns, compare, seconds_a_step, sgemm_peak
from torch.optim import optimizer as optimizers
from torch.utils.flop_counter import FlopCounterMode

from dpofield.lab.logprobs import pair_logprobs
from dpofield.lab.trees import takes_trees


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which everything is slow does not change the ratio."""
    row = compare("r", "s", "", [2.0, 4.0, 60.0], [1.0, 2.0, 20.0])
    assert (row.ratio, row.low, row.high) == (2.0, 2.0, 3.0)
    assert (row.first, row.second) == (4.0, 2.0)
    assert Row(**row.record()) == row


def test_programs_take_turns() -> None:
    """After an uncounted warm-up, each round runs every program once."""
    calls: list[str] = []

    def program(name: str) -> Any:
        return lambda: (calls.append(name), float(len(calls)))[1]

    found = by_turns({"a": program("a"), "b": program("b")}, 2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert found == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


@pytest.mark.parametrize("shape", work.SHAPES)
def test_counted_work_is_what_torch_counts(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    """Products with weights equal torch's count; attention equals a count of visible tokens."""
    monkeypatch.setitem(work.SIZES, "tiny", (2, 32))
    model, batch = work.model("tiny"), work.rows(shape, 3)
    assert takes_trees(model)  # the trial of sharing is not counted
    with FlopCounterMode(display=False) as counter:
        lw, ll = pair_logprobs(model, batch)
        (lw - ll).sum().backward()
    counted = counter.get_flop_counts()["Global"]
    products, attention = work.step_work("tiny", batch)
    done = sum(n for name, n in counted.items() if "mm" in str(name))
    # If nearly all places predict, the last layer computes its end for all places.
    assert products < done < 1.1 * products if shape == "response-heavy" else products == done
    start = work.SHAPES[shape].prompt
    rows = [row.tolist() for row in batch.input_ids]
    beginnings = {tuple(row[:n]) for row in rows for n in range(1, len(row))}
    predict = {tuple(row[:n]) for row in rows for n in range(start, len(row))}
    # Two products per layer, two operations per multiplication, three passes, two layers.
    seen = sum(map(len, beginnings)) + sum(map(len, predict))
    assert attention == 2 * 2 * 3 * 32 * seen


def test_shapes_are_as_named() -> None:
    """Numbers of tokens in prompt and response; pairs at edit distance 1 differ in one word."""
    for name, shape in work.SHAPES.items():
        batch = work.rows(name, 4)
        assert batch.lengths.tolist() == [shape.response + 1] * 8
        assert batch.input_ids.shape[1] == shape.prompt + shape.response + 1
    many = work.pairs("edit distance 1", 300)
    assert len(many) == 300
    for pair in many:
        differ = zip(pair.preferred.split(), pair.dispreferred.split(), strict=True)
        assert sum(a != b for a, b in differ) == 1


def test_steps_are_timed_in_whoever_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TRL's trainer and ours both give a time per step, and the rows have their names."""
    monkeypatch.setattr(work, "SIZES", {"tiny": (1, 16)})
    monkeypatch.setattr(work, "SHAPES", {"mixed": work.Shape(3, 4)})
    monkeypatch.setattr(training, "PAIRS", 2)
    monkeypatch.setattr(training, "sgemm_peak", lambda: 1e9)
    monkeypatch.setattr(work, "CONFIGS", {"Qwen3": work.CONFIGS["Qwen3"]})
    monkeypatch.setattr(work, "FAMILY_SIZE", "tiny")
    monkeypatch.setattr(work, "FAMILY_SHAPES", ("mixed",))
    ours, other = training.step_rows(1)
    for name, rows in (("DPO step", ours), ("DPO step of Qwen3", other)):
        assert [row.row for row in rows[:3]] == [
            f"{name}: TRL / ours", f"{name}: TRL, reference precomputed / ours",
            f"{name}: plain loop / ours",
        ]  # fmt: skip
        assert all(row.first > 0 < row.second for row in rows)


@pytest.mark.parametrize("family", work.CONFIGS)
def test_other_kinds_of_models_share(family: str) -> None:
    """They have about the size in their name, and their steps are those with shared beginnings."""
    model = work.model(work.FAMILY_SIZE, family=family)
    assert takes_trees(model)
    assert 4e6 < sum(p.numel() for p in model.parameters()) < 7e6


def test_a_step_is_from_update_to_update() -> None:
    """Times are intervals between optimizer steps, without the first interval."""
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([p], lr=0.0)
    before = dict(optimizers._global_optimizer_post_hooks)
    assert seconds_a_step(lambda: [optimizer.step() for _ in range(4)])() > 0
    assert optimizers._global_optimizer_post_hooks == before
    assert sgemm_peak() > 1e6


def test_the_kernel_is_measured_on_both_forms() -> None:
    """The programs have the names that the rows use."""
    assert {f"{a}, {b}" for a in ("pairs", "matrix") for b in ("plain", "by layers")} < {*PROGRAMS}


def test_what_is_not_run_again_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    """`--only` replaces only the named group; the table shows all; versions are recorded."""
    path = tmp_path / "bench.json"
    row = compare("old", "", "", [1.0], [2.0])
    for name, text in (("field", "old"), ("kernel", "new")):
        monkeypatch.setitem(
            GROUPS, name, (lambda rounds, t=text: [[compare(t, "", "", [1.0], [2.0])]], 1)
        )
        monkeypatch.setattr(sys, "argv", ["bench", "--only", name, "--output", str(path)])
        main()
    groups = json.loads(path.read_text())["groups"]
    assert [*groups] == ["kernel", "field"]
    assert groups["field"]["rows"] == [row.record()]
    assert "torch" in groups["kernel"]["versions"]
    assert "old" in capsys.readouterr().out


def test_the_recorded_table_is_whole() -> None:
    """`results/bench.json`, which the status page shows, has every group, device and date."""
    groups = json.loads(RESULTS.read_text("utf-8"))["groups"]
    assert [*groups] == [*GROUPS]
    for group in groups.values():
        assert group["rows"]
        assert {"date", "machine", "device", "versions"} <= {*group}
