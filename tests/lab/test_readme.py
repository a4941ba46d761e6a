"""The README's example for readers with a model and pairs of their own."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpofield.lab import World, word_tokenizer, write_pairs
from tests.lab.zoo import ZOO

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("kind", ["gpt2", "qwen3"])
def test_the_example_runs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line, on a saved model and a file of pairs with one bad line; it learns the pairs."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    ZOO[kind]().float().save_pretrained("my-model")
    word_tokenizer().save_pretrained("my-model")
    write_pairs("my-pairs.jsonl", World().pairs(8, seed=0))
    with Path("my-pairs.jsonl").open("a", encoding="utf-8") as file:
        file.write("not JSON\n")
    names: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as told:  # PEFT asks transformers for an old name
        warnings.simplefilter("always")
        exec(compile(code, "README.md", "exec"), names)
    assert any("line 9" in str(w.message) for w in told)
    run = names["run"]
    assert len(names["batch"]) == 16
    np.testing.assert_allclose(run.loss[0], np.log(2), atol=1e-5)
    assert run.loss[-1].mean() < run.loss[0].mean()
    assert np.isfinite(run.u).all()
