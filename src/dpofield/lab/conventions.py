"""Which loss of this book each setting of TRL computes, and what its names mean elsewhere.

The page and the tests read the same rows. A test builds each trainer of the installed TRL and
compares its value and gradient with the loss that the row names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

VERSION = "1.16.0"
"""The version of TRL that the rows describe; a test fails for any other."""

SUM, MEAN = "sums", "means"

Trainer = Literal["DPO", "CPO", "ORPO", "KTO", "TPO", "OnlineDPO"]
"""TRL's trainers whose loss is a function of pairs, without the suffix `Trainer`."""


@dataclass(frozen=True)
class Row:
    """A setting of one of TRL's trainers, and the loss that it computes.

    `setting` holds the arguments that choose the loss; `names` maps further arguments to this
    book's parameters. `reads` is the statistic of a response's token log-probabilities that enters
    the loss: their sum or their mean. TRL's value is `scale` times the mean of this book's loss
    over pairs. `free` marks reference-free losses: log-probabilities replace the log-ratios.
    """

    trainer: Trainer
    setting: Mapping[str, Any]
    loss: str
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"beta": "beta"}))
    reads: str = SUM
    note: str = ""
    scale: float = 1.0
    free: bool = False


def _row(trainer: Trainer, setting: dict[str, Any], loss: str, **rest: Any) -> Row:
    return Row(trainer, MappingProxyType(setting), loss, **rest)


def _smoothed(**more: str) -> Mapping[str, str]:
    return MappingProxyType({"beta": "beta", "label_smoothing": "epsilon", **more})


_NLL = "the NLL is a mean over all tokens of the batch, not over pairs"
_GOLD = "`tpo_alpha`, 1 by default, adds the NLL of a third response"

TRL = (
    _row("DPO", {"loss_type": "sigmoid"}, "dpo", note="`label_smoothing` is ignored: no cDPO"),
    _row("DPO", {"loss_type": "sigmoid_norm"}, "sigmoid_norm", reads=MEAN),
    _row("DPO", {"loss_type": "hinge"}, "hinge", note="no NLL: not SLiC-HF"),
    _row("DPO", {"loss_type": "ipo"}, "ipo_norm", reads=MEAN),
    _row("DPO", {"loss_type": "exo_pair"}, "exo", names=_smoothed(), note="refuses epsilon = 0"),
    _row("DPO", {"loss_type": "nca_pair"}, "nca"),
    _row("DPO", {"loss_type": "robust"}, "robust", names=_smoothed()),
    _row("DPO", {"loss_type": "bco_pair"}, "bco", note="without the running mean: delta is 0"),
    _row("DPO", {"loss_type": "sppo_hard"}, "sppo"),
    _row("DPO", {"loss_type": "aot"}, "aot", names=_smoothed(), note="sorts the batch"),
    _row(
        "DPO", {"loss_type": "aot_unpaired"}, "aot", names=_smoothed(),
        note="sorts u and v apart: a loss of sorted values, not of pairs",
    ),
    _row("DPO", {"loss_type": "apo_zero"}, "apo_zero"),
    _row("DPO", {"loss_type": "apo_down"}, "apo_down"),
    _row(
        "DPO", {"loss_type": "discopop"}, "discopop",
        names=MappingProxyType({"beta": "beta", "discopop_tau": "tau"}),
    ),
    _row("DPO", {"loss_type": "sft"}, "sft", names=MappingProxyType({}), reads=MEAN, note=_NLL),
    _row(
        "DPO", {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]}, "rpo",
        reads="a sum and a mean", note=_NLL,
    ),
    _row("DPO", {"f_divergence_type": "forward_kl"}, "forward_kl"),
    _row("DPO", {"f_divergence_type": "js_divergence"}, "js"),
    _row(
        "DPO", {"f_divergence_type": "alpha_divergence"}, "alpha_div",
        names=MappingProxyType({"beta": "beta", "f_alpha_divergence_coef": "alpha"}),
        note="clamped at exp(80); no float64",
    ),
    _row("CPO", {"loss_type": "sigmoid"}, "cpo", names=MappingProxyType(
        {"beta": "beta", "cpo_alpha": "lam"}), reads="a sum and a mean", note=_NLL),
    _row(
        "CPO", {"loss_type": "sigmoid", "cpo_alpha": 0.0}, "cdpo", names=_smoothed(), free=True,
        note="here `label_smoothing` works",
    ),
    _row("CPO", {"loss_type": "hinge", "cpo_alpha": 0.0}, "hinge", free=True),
    _row("CPO", {"loss_type": "ipo", "cpo_alpha": 0.0}, "ipo_norm", reads=MEAN, free=True),
    _row(
        "CPO", {"loss_type": "simpo", "cpo_alpha": 0.0}, "simpo", reads=MEAN,
        names=MappingProxyType({"beta": "beta", "simpo_gamma": "gamma"}),
        note="set `cpo_alpha` to 0: its default, 1, adds an NLL",
    ),
    _row(
        "CPO", {"loss_type": "alphapo"}, "alphapo", reads=MEAN,
        names=MappingProxyType({"beta": "beta", "simpo_gamma": "gamma", "alpha": "alpha"}),
    ),
    _row(
        "ORPO", {}, "orpo", names=MappingProxyType({"beta": "lam"}), reads=MEAN,
        note="its `beta` is the weight; its NLL counts the prompt's tokens too; float32",
    ),
    _row("KTO", {"loss_type": "kto"}, "kto", scale=0.5, names=MappingProxyType(
        {"beta": "beta", "desirable_weight": "lam_w", "undesirable_weight": "lam_l"}),
        note="a mean over responses; z0 is estimated from the batch, at least 0"),
    _row("KTO", {"loss_type": "apo_zero_unpaired"}, "apo_zero", scale=0.5,
         note="a mean over responses"),
    _row(
        "TPO", {"loss_type": "sigmoid", "tpo_alpha": 0.0}, "cdpo", names=_smoothed(), free=True,
        note=_GOLD,
    ),
    _row("TPO", {"loss_type": "hinge", "tpo_alpha": 0.0}, "hinge", free=True, note=_GOLD),
    _row("TPO", {"loss_type": "ipo", "tpo_alpha": 0.0}, "ipo_norm", reads=MEAN, free=True,
         note=_GOLD),
    _row(
        "TPO", {"loss_type": "tpo-l", "tpo_alpha": 0.0}, "simpo", reads=MEAN,
        names=MappingProxyType({"beta": "beta", "tpo_l_gamma": "gamma"}),
        note=_GOLD + "; smooths labels, which SimPO does not",
    ),
    _row("OnlineDPO", {"loss_type": "sigmoid"}, "dpo", note="the model writes the pairs"),
    _row("OnlineDPO", {"loss_type": "ipo"}, "ipo", note="sums here, means in the other trainers"),
)  # fmt: skip
"""Every loss of a pair that TRL's trainers offer."""


@dataclass(frozen=True)
class Elsewhere:
    """The loss of this book that a project or paper means by a name.

    `params` are the parameters that it fixes or uses by default; `source` is the reference.
    """

    name: str
    where: str
    loss: str
    note: str
    source: str
    params: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def _else(name: str, where: str, loss: str, note: str, source: str, **params: float) -> Elsewhere:
    return Elsewhere(name, where, loss, note, source, MappingProxyType(params))


ELSEWHERE = (
    _else(
        "IPO", "the DPO authors", "ipo", "sums",
        "github.com/eric-mitchell/direct-preference-optimization",
    ),
    _else("IPO", "HALOs", "ipo_norm", "means per token", "github.com/ContextualAI/HALOs"),
    _else(
        "cDPO", "HALOs", "cdpo", r"$\varepsilon = 0.2$ by default",
        "github.com/ContextualAI/HALOs", epsilon=0.2,
    ),
    _else(
        "cDPO", "TRL up to 0.28", "cdpo", "`sigmoid` with `label_smoothing`, ignored since 0.29",
        "github.com/huggingface/trl/pull/3906",
    ),
    _else(
        "SLiC-HF", "HALOs", "slic",
        r"the offset $\delta = 1$ is called `beta`; an NLL with weight $\lambda = 0.1$",
        "github.com/ContextualAI/HALOs", delta=1.0, lam=0.1,
    ),
    _else(
        "SimPO", "its authors", "simpo", r"the target margin is given as $\gamma/\beta$",
        "github.com/princeton-nlp/SimPO",
    ),
    _else(
        "BCO", "its paper", "bco", r"$\delta$ is a running mean of rewards",
        "arxiv.org/abs/2404.04656",
    ),
    _else(
        "Cal-DPO", "its authors", "cal_dpo", r"no $\beta$ in the logistic term",
        "github.com/tengxiao1/Cal-DPO",
    ),
    _else(
        "DPOP", "its authors", "dpop",
        "the penalty stands inside the sigmoid; the bracketing of Eq. 3 was mended in July 2024",
        "github.com/abacusai/smaug/issues/2",
    ),
)  # fmt: skip
"""The same names outside the installed TRL."""
