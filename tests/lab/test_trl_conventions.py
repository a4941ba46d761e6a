"""The book's statements about TRL beyond single pairs, checked with the installed TRL."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dpofield.formulas import LOSSES
from tests.lab.trl_stubs import LENGTHS, QUIET, REFERENCE, LogProbs, masks, table_of, trainer

pytestmark = pytest.mark.filterwarnings(*QUIET)


def log_prob_batch(
    sums: torch.Tensor, reference: torch.Tensor, lengths: torch.Tensor
) -> tuple[Any, Any, dict[str, Any]]:
    """Policy and reference stubs and the batch for B pairs: arguments of shape (2, B)."""
    counts = lengths.reshape(-1)
    place = torch.arange(1 + int(counts.max()))
    mask = (place > 0) & (place <= counts[:, None])
    spread = mask[:, 1:] / counts[:, None].double()
    stubs = [LogProbs(z.reshape(-1, 1) * spread) for z in (sums, reference)]
    keys = ("input_ids", "attention_mask", "completion_mask")
    return stubs[0], stubs[1], {key: mask.long() for key in keys}


@pytest.fixture
def six() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Policy and reference log-probabilities and lengths of six pairs, each of shape (2, 6)."""
    generator = torch.Generator().manual_seed(3)
    reference = -20 * torch.rand(2, 6, generator=generator, dtype=torch.float64)
    policy = reference + 4 * torch.randn(2, 6, generator=generator, dtype=torch.float64)
    return policy, reference, torch.randint(2, 9, (2, 6), generator=generator)


def loss_of(made: Any, six: Any) -> float:
    policy, made.ref_model, batch = log_prob_batch(*six)
    return float(made.compute_loss(policy, batch))


def test_aot_is_the_smoothed_loss_of_matched_margins(six):
    """TRL sorts policy and reference margins separately, which adds `shift` to each margin."""
    policy, reference, _ = six
    u, v = policy - reference
    ours_now, of_reference = policy[0] - policy[1], reference[0] - reference[1]
    rank = ours_now.argsort().argsort()
    shift = of_reference - of_reference.sort().values[rank]
    aot = LOSSES["aot"]
    for kind, pairs, extra in (
        ("aot", (u, v), {"shift": shift}),
        ("aot_unpaired", (u.sort().values, v.sort().values), {}),
    ):
        made = trainer("DPO", {"loss_type": kind, "label_smoothing": 0.2, "beta": 0.3})
        own = aot.torch(*pairs, beta=0.3, epsilon=0.2, **extra).mean()
        assert loss_of(made, six) == pytest.approx(float(own), rel=1e-12)
        plain = aot.torch(u, v, beta=0.3, epsilon=0.2).mean()
        assert abs(loss_of(made, six) / float(plain) - 1) > 1e-3  # the matching matters


def test_the_nll_is_a_mean_over_tokens_of_the_batch(six):
    """`sft` in TRL weights a pair by its length; the mean of per-pair NLLs differs."""
    policy, reference, lengths = six
    u, v = policy - reference
    nll = LOSSES["sft"].torch(u, v, ref_w=reference[0], len_w=lengths[0])
    found = loss_of(trainer("DPO", {"loss_type": "sft"}), six)
    assert found == pytest.approx(float((nll * lengths[0]).sum() / lengths[0].sum()), rel=1e-12)
    assert abs(found / float(nll.mean()) - 1) > 1e-3


def test_sigmoid_ignores_label_smoothing(six):
    """DPOTrainer has no cDPO: it accepts the argument and ignores it."""
    u, v = six[0] - six[1]
    found = loss_of(trainer("DPO", {"loss_type": "sigmoid", "label_smoothing": 0.3}), six)
    assert found == pytest.approx(float(LOSSES["dpo"].torch(u, v).mean()), rel=1e-12)
    assert abs(found / float(LOSSES["cdpo"].torch(u, v, epsilon=0.3).mean()) - 1) > 1e-3


def test_rewards_and_logps_in_the_log(six):
    """For every loss, the log has beta times the mean log-ratio, and summed logps."""
    u, _ = six[0] - six[1]
    for kind in ("hinge", "sft", "ipo", "sppo_hard"):
        made = trainer("DPO", {"loss_type": kind, "beta": 0.3})
        loss_of(made, six)
        mode = made._metrics["train" if made.model.training else "eval"]
        logged = {name: values[-1] for name, values in mode.items()}
        assert logged["rewards/chosen"] == pytest.approx(0.3 * float(u.mean()), rel=1e-12)
        assert logged["logps/chosen"] == pytest.approx(float(six[0][0].mean()), rel=1e-12)


def test_use_weighting_is_a_constant_factor_of_each_pair(six):
    """WPO's weight multiplies the loss of its pair, and has no gradient."""
    policy, reference, lengths = six
    leaf = policy.clone().requires_grad_()
    model, past, batch = log_prob_batch(leaf, reference, lengths)
    made = trainer("DPO", {"loss_type": "sigmoid", "use_weighting": True, "beta": 0.3})
    made.ref_model = past
    own = policy.clone().requires_grad_()
    weight = torch.exp(policy / lengths).prod(dim=0)
    expected = (weight * LOSSES["dpo"].torch(*(own - reference), beta=0.3)).mean()
    found = made.compute_loss(model, batch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    slopes = [torch.autograd.grad(*pair)[0] for pair in ((found, leaf), (expected, own))]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-15)


def test_ld_alpha_reweighs_the_tokens_past_the_shorter_response(six):
    """LD-DPO changes the arguments u and v of the loss."""
    policy, reference, lengths = six
    shared = lengths.min(dim=0).values
    counted = shared + 0.4 * (lengths - shared)  # all tokens have the mean
    u, v = (policy - reference) * counted / lengths
    for kind, name in (("sigmoid", "dpo"), ("nca_pair", "nca")):
        made = trainer("DPO", {"loss_type": kind, "ld_alpha": 0.4, "beta": 0.3})
        own = LOSSES[name].torch(u, v, beta=0.3).mean()
        assert loss_of(made, six) == pytest.approx(float(own), rel=1e-8)


def test_what_trl_refuses(six):
    """Errors: EXO without smoothing, a divergence for another loss, alpha in float64."""
    with pytest.raises(ValueError, match="exo_pair"):
        trainer("DPO", {"loss_type": "exo_pair"})
    with pytest.raises(ValueError, match="f_divergence_type"):
        trainer("DPO", {"loss_type": "nca_pair", "f_divergence_type": "js_divergence"})
    with pytest.raises(KeyError, match="float64"):
        loss_of(trainer("DPO", {"f_divergence_type": "alpha_divergence"}), six)


def logit_batch(prompt: int) -> tuple[dict[str, Any], torch.Tensor]:
    """Batch and logits of one pair after `prompt` tokens, for the reference-free trainers."""
    batch: dict[str, Any] = {}
    for name, length in zip(("chosen", "rejected"), LENGTHS, strict=True):
        scored = torch.arange(prompt + length) >= prompt
        batch |= {
            f"{name}_input_ids": torch.ones(1, prompt + length, dtype=torch.long),
            f"{name}_attention_mask": torch.ones(1, prompt + length, dtype=torch.long),
            f"{name}_labels": torch.where(scored, 1, -100)[None],
        }
    generator = torch.Generator().manual_seed(4)
    return batch, torch.randn(2, prompt + max(LENGTHS), 2, generator=generator).double()


@pytest.mark.parametrize(("kind", "prompt"), [("CPO", 1), ("CPO", 4), ("ORPO", 1), ("ORPO", 4)])
def test_which_tokens_the_nll_counts(kind, prompt):
    """CPO's NLL counts the response, ORPO's also the prompt. `simpo` has an NLL by default."""
    batch, logits = logit_batch(prompt)
    setting = {"loss_type": "simpo"} if kind == "CPO" else {}
    made = trainer(kind, setting)
    found = float(made.compute_loss(lambda *_, **__: SimpleNamespace(logits=logits), batch))
    tokens = logits[:, :-1].log_softmax(-1)[..., 1]
    sums = [tokens[i, prompt - 1 : prompt - 1 + n].sum() for i, n in enumerate(LENGTHS)]
    lens = dict(zip(("len_w", "len_l"), LENGTHS, strict=True))
    refs = {"ref_w": -1e-300, "ref_l": -1e-300}
    response = float(LOSSES["sft"].torch(*sums, ref_w=-1e-300, len_w=LENGTHS[0]))
    everything = -float(tokens[0, : prompt - 1 + LENGTHS[0]].mean())
    if kind == "CPO":
        simpo = float(LOSSES["simpo"].torch(*sums, beta=0.1, gamma=0.5, **refs, **lens))
        assert found == pytest.approx(simpo + 1.0 * response, rel=1e-12)
    else:
        orpo = float(LOSSES["orpo"].torch(*sums, lam=0.1, **refs, **lens))
        assert found == pytest.approx(orpo - response + everything, rel=1e-6)
        assert (prompt == 1) == (abs(response / everything - 1) < 1e-9)


def test_the_reference_point_of_kto_is_not_negative():
    """z0 is the batch's mean log-ratio of mismatched responses, or 0 if that is negative."""
    made = trainer("KTO", {"loss_type": "kto"})
    batch = {"input_ids": masks(), "attention_mask": masks(), "completion_mask": masks()}
    batch |= {f"KL_{key}": 3 * masks() + 3 * (key == "input_ids") for key in batch}
    batch["label"] = torch.tensor([True, False])
    policy = LogProbs(table_of((-3.0, -9.5), torch.float64), torch.full((2, 5), -2.0).double())
    for reference, z0 in ((-2.5, 0.5 * sum(LENGTHS) / 2), (-1.5, 0.0)):
        made.ref_model = LogProbs(
            table_of(REFERENCE, torch.float64), torch.full((2, 5), reference).double()
        )
        own = LOSSES["kto"].torch(torch.tensor(1.0).double(), torch.tensor(-0.5).double(), z0=z0)
        assert made.compute_loss(policy, batch).item() == pytest.approx(float(own) / 2, rel=1e-12)
