"""Every loss of the installed TRL has the value and the gradient of this book's loss.

Each trainer is a real one, with the setting that the book's table prints. A stub then replaces its
model. The stub's log-probabilities (or logits) are the leaves, so that single pairs of uneven
lengths and saturated values reach the loss in float64.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trl

from dpofield.formulas import LOSSES
from dpofield.lab.conventions import TRL, VERSION, Row
from tests.lab.trl_stubs import LENGTHS, QUIET, REFERENCE, LogProbs, masks, table_of, trainer

pytestmark = pytest.mark.filterwarnings(*QUIET)

OTHER = {  # none is a default, so that swapped names are detected
    "beta": 0.3, "label_smoothing": 0.15, "discopop_tau": 0.4, "f_alpha_divergence_coef": 0.7,
    "cpo_alpha": 0.6, "simpo_gamma": 0.9, "alpha": 0.35, "desirable_weight": 1.7,
    "undesirable_weight": 0.8, "tpo_l_gamma": 0.9,
}  # fmt: skip
LOGRATIOS = [
    (0.0, 0.0), (1.5, -2.0), (-3.0, 2.5), (-1.0, -40.0), (30.0, -30.0), (-30.0, 30.0), (3.0, -4.0),
    (-60.0, -55.0), (500.0, -600.0), (-350.0, 300.0),
]  # fmt: skip
LOGPROBS = [  # per token, all negative: these losses depend on the likelihood itself
    (-0.7, -1.3), (-0.05, -3.0), (-6.0, -0.2), (-30.0, -25.0), (-1e-3, -40.0), (-60.0, -1e-3),
]  # fmt: skip
SINGLE = {"alpha_div", "orpo"}
"""TRL computes these losses in float32; in EXO's loss only epsilon is float32."""


def row_id(row: Row) -> str:
    return "-".join([row.trainer, *map(str, row.setting.values())])


def trainer_of(row: Row, **more: Any) -> tuple[Any, dict[str, float]]:
    """The row's trainer, and its arguments under this book's names."""
    other = {name: OTHER[name] for name in row.names} | more
    made = trainer(row.trainer, {**row.setting, **other})
    return made, {row.names[name]: value for name, value in other.items() if name in row.names}


def ours(row: Row, sums: torch.Tensor, **params: float) -> torch.Tensor:
    """This book's loss of one pair with policy log-probabilities `sums`, (2,) in nats."""
    loss = LOSSES[row.loss]
    reference = (0.0, 0.0) if row.free else REFERENCE
    given = dict(zip(("ref_w", "ref_l", "len_w", "len_l"), (*reference, *LENGTHS), strict=True))
    inputs = {p.name: given[p.name] for p in loss.inputs}
    return row.scale * loss.torch(
        sums[0] - reference[0], sums[1] - reference[1], **inputs, **params
    )


def closeness(row: Row) -> dict[str, float]:
    # `atol`: TRL's 1 - sigmoid loses its digits if it is saturated
    return {"rtol": 1e-6 if row.loss in {*SINGLE, "exo"} else 1e-10, "atol": 1e-15}


def test_the_table_is_of_this_trl():
    """The table is written for one version of TRL, and must be reviewed for another."""
    assert trl.__version__ == VERSION


def test_no_loss_of_trl_is_missing():
    """All names that TRL's code compares with are in the table."""
    from trl.experimental.cpo import CPOConfig
    from trl.experimental.online_dpo import OnlineDPOConfig
    from trl.experimental.tpo import TPOConfig

    code = inspect.getsource(trl.DPOTrainer._compute_loss)
    rows = [row.setting for row in TRL if row.trainer == "DPO"]
    listed = [row.get("loss_type", []) for row in rows]
    named = {name for x in listed for name in ([x] if isinstance(x, str) else x)}
    assert set(re.findall(r'loss_type == "(\w+)"', code)) == named
    divergences = {row.get("f_divergence_type", "reverse_kl") for row in rows}
    assert set(re.findall(r'f_divergence_type == "(\w+)"', code)) == divergences
    code = inspect.getsource(trl.KTOTrainer._compute_loss)
    assert set(re.findall(r'loss_type == "(\w+)"', code)) == {
        row.setting["loss_type"] for row in TRL if row.trainer == "KTO"
    }
    for kind, config in (("CPO", CPOConfig), ("TPO", TPOConfig), ("OnlineDPO", OnlineDPOConfig)):
        choices = config.__dataclass_fields__["loss_type"].metadata["choices"]
        assert set(choices) == {row.setting["loss_type"] for row in TRL if row.trainer == kind}


def test_no_trainer_of_pairs_is_missing():
    """Each of TRL's trainers with a `loss_type` is in the table, or has no pairs."""
    root, found = Path(trl.__file__).parent, set()
    for path in [*root.glob("trainer/*_config.py"), *root.glob("experimental/*/*_config.py")]:
        text = path.read_text("utf8")
        if re.search(r"^    loss_type: ", text, re.MULTILINE):
            found |= set(re.findall(r"class (\w+)Config\(", text))
    others = {"GRPO", "SDPO", "SFT"}  # rollouts or demonstrations, no pairs
    assert found - others == {row.trainer for row in TRL} - {"ORPO"}  # ORPO has one loss only


@pytest.mark.parametrize("row", [r for r in TRL if r.trainer in ("DPO", "KTO")], ids=row_id)
def test_value_and_gradient_from_log_probabilities(row):
    """All losses of the DPO and KTO trainers, per pair, at ordinary and saturated values."""
    made, params = trainer_of(row)
    dtype = torch.float32 if row.loss in SINGLE else torch.float64
    elsewhere = torch.full((2, max(LENGTHS)), -1.0, dtype=dtype)
    made.ref_model = LogProbs(table_of(REFERENCE, dtype).detach(), elsewhere - 0.25)
    batch = {"input_ids": masks(), "attention_mask": masks(), "completion_mask": masks()}
    if row.trainer == "KTO":
        batch |= {f"KL_{key}": 3 * masks() + 3 * (key == "input_ids") for key in batch}
        batch["label"] = torch.tensor([True, False])
    if row.loss == "kto":
        params["z0"] = 0.25 * sum(LENGTHS) / 2
    for pair in LOGRATIOS:
        if row.loss in SINGLE and max(map(abs, pair)) > 50:
            continue
        sums = tuple(z + r for z, r in zip(pair, REFERENCE, strict=True))
        if LOSSES[row.loss].inputs and max(sums) > 0:
            continue  # no log-probabilities, which ours refuses where it needs them
        leaves = [table_of(sums, dtype) for _ in range(2)]
        theirs = made.compute_loss(LogProbs(leaves[0], elsewhere), batch)
        own = ours(row, (leaves[1] * masks()[:, 1:]).sum(1), **params)
        compare(row, theirs, own, leaves, pair)


FREE = [row for row in TRL if row.trainer in ("CPO", "ORPO", "TPO")]


@pytest.mark.parametrize("row", FREE, ids=row_id)
def test_value_and_gradient_from_logits(row):
    """The reference-free trainers, which compute the likelihood in their forward pass."""
    made, params = trainer_of(row)
    labels = torch.where(masks() == 1, 1, -100)
    batch = {"input_ids": masks(), "completion_mask": masks(), "attention_mask": masks()}
    for number, name in enumerate(("chosen", "rejected")):
        batch |= {
            f"{name}_input_ids": masks()[[number]],
            f"{name}_attention_mask": masks()[[number]],
            f"{name}_labels": labels[[number]],
        }
        batch[f"{name}_attention_mask"][:, 0] = 1
    for per_token in LOGPROBS:
        sums = tuple(z * n for z, n in zip(per_token, LENGTHS, strict=True))
        tokens = table_of(sums, torch.float64).detach() - 1e-9
        odds = tokens - torch.log(-torch.expm1(tokens))
        leaves = []
        for _ in range(2):
            logits = torch.zeros(2, 1 + max(LENGTHS), 2, dtype=torch.float64)
            logits[:, :-1, 1] = odds
            leaves.append(logits.requires_grad_())
        model = lambda *args, leaf=leaves[0], **kwargs: SimpleNamespace(logits=leaf)  # noqa: E731
        theirs = made.compute_loss(model, batch)
        scored = leaves[1][:, :-1].log_softmax(-1)[..., 1] * masks()[:, 1:]
        compare(row, theirs, ours(row, scored.sum(1), **params), leaves, per_token)


@pytest.mark.parametrize("row", [r for r in TRL if r.trainer == "OnlineDPO"], ids=row_id)
def test_value_and_gradient_of_a_pair_that_the_model_wrote(row):
    """The online trainer computes its loss in a training step, here on fixed completions."""
    made, params = trainer_of(row)
    completions = masks()[:, 1:]
    made._generate = lambda *_: (torch.ones_like(completions[:, :1]),) * 2 + (
        completions, completions, None)  # fmt: skip
    for pair in LOGRATIOS:
        sums = tuple(z + r for z, r in zip(pair, REFERENCE, strict=True))
        leaves = [table_of(sums, torch.float64) for _ in range(2)]
        past = table_of(REFERENCE, torch.float64).detach()
        made._forward = lambda model, *_, now=leaves[0], past=past: (
            past if model is made.ref_model else now
        )
        theirs = made.training_step(made.model, {"prompt": ["pie at the castle :"]})
        own = ours(row, (leaves[1] * completions).sum(1), **params)
        torch.testing.assert_close(own.detach(), theirs, **closeness(row))
        (slope,) = torch.autograd.grad(own, leaves[1])
        torch.testing.assert_close(slope, leaves[0].grad, **closeness(row))


def compare(row: Row, theirs: Any, own: Any, leaves: list[torch.Tensor], at: Any) -> None:
    """Compare values and gradients; an error names the setting and the pair."""
    where = f"{row_id(row)} at {at}"
    torch.testing.assert_close(
        own.to(theirs.dtype), theirs, **closeness(row), msg=lambda m: f"{where}: {m}"
    )
    found = [torch.autograd.grad(z, leaf)[0] for z, leaf in zip((theirs, own), leaves, strict=True)]
    torch.testing.assert_close(
        found[1], found[0], **closeness(row), msg=lambda m: f"{where}, gradient: {m}"
    )
