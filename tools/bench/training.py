"""DPO steps: our loop against TRL, the plain loop and the machine's limit."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from bench import work
from bench.timing import Row, by_turns, compare, seconds, seconds_a_step, sgemm_peak
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo

PAIRS = 16  # per step
STEPS = 7  # per measurement; the first two are not counted
BETA, LR = 0.1, 1e-4


def ours(
    size: str, shape: str, *, share: bool | None = None, family: str = "GPT2"
) -> Callable[[], object]:
    """Our training loop, with a precomputed reference."""
    model, batch = work.model(size, family=family), work.rows(shape, PAIRS * STEPS)
    reference = reference_logprobs(model, batch)
    settings = Training(
        params={"beta": BETA}, steps=STEPS, batch=PAIRS, lr=LR, seed=0, record_every=10**9,
        recorded=(0,),
    )  # fmt: skip
    return lambda: dpo(model, reference, batch, settings, share=share, progress=False)


def theirs(
    size: str, shape: str, *, precompute: bool, folder: str, family: str = "GPT2"
) -> Callable[[], object]:
    """TRL's trainer on the same pairs and weights, with the model of transformers, in float32."""
    import datasets
    from transformers.trainer_callback import PrinterCallback
    from transformers.utils import logging
    from trl import DPOConfig, DPOTrainer

    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    rows = [
        {"prompt": p.prompt, "chosen": p.preferred, "rejected": p.dispreferred}
        for p in work.pairs(shape, PAIRS * STEPS)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = DPOTrainer(
            model=work.model(size, stock=True, family=family),
            ref_model=None if precompute else work.model(size, stock=True, family=family),
            args=DPOConfig(
                output_dir=folder, beta=BETA, learning_rate=LR, max_steps=STEPS,
                per_device_train_batch_size=PAIRS, precompute_ref_log_probs=precompute,
                bf16=False, use_cpu=True, gradient_checkpointing=False,
                report_to=[], disable_tqdm=True, save_strategy="no",
            ),
            processing_class=work.tokenizer(),
            train_dataset=datasets.Dataset.from_list(rows),
        )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer.train  # type: ignore[no-any-return]


def step_rows(rounds: int) -> Iterator[list[Row]]:
    """Our steps per size and shape, against TRL, precomputed TRL, the plain loop and the limit.

    Other kinds of models than GPT-2 are not compared with the limit.
    """
    cases = [("GPT2", size, shape) for size in work.SIZES for shape in work.SHAPES]
    cases += [(f, work.FAMILY_SIZE, shape) for f in work.CONFIGS for shape in work.FAMILY_SHAPES]
    for family, size, shape in cases:
        with tempfile.TemporaryDirectory() as folder:
            trl = partial(theirs, size, shape, folder=folder, family=family)
            programs: dict[str, Callable[[], float]] = {
                "TRL": seconds_a_step(trl(precompute=False)),
                "TRL, reference precomputed": seconds_a_step(trl(precompute=True)),
                "plain loop": seconds_a_step(ours(size, shape, share=False, family=family)),
                "ours": seconds_a_step(ours(size, shape, family=family)),
                "peak": sgemm_peak,
            }
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = by_turns(programs, rounds)
        peak = found.pop("peak")
        mine = found.pop("ours")
        step = "DPO step" if family == "GPT2" else f"DPO step of {family}"
        rows = [compare(f"{step}: {name} / ours", size, shape, taken, mine)
                for name, taken in found.items()]  # fmt: skip
        if family == "GPT2":
            rate = [_needed(size, shape) / s / 1e9 for s in mine]
            rows.append(
                compare("work of our step / sgemm peak", size, shape, rate,
                        [p / 1e9 for p in peak], "GFLOP/s")
            )  # fmt: skip
        yield rows


def _alone(size: str, shape: str, threads: int) -> float:
    """Seconds per step of our loop with this many threads; runs in a separate process."""
    torch.set_num_threads(threads)
    program = seconds_a_step(ours(size, shape))
    program()
    return program()


def thread_rows(rounds: int) -> Iterator[list[Row]]:
    """Many runs on all cores: one at a time with all threads, or in parallel with one each."""
    cores = torch.get_num_threads()
    for size in work.SIZES:
        wide, side_by_side, peak = [], [], []
        with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
            for _ in range(rounds):
                wide.append(pool.submit(_alone, size, "mixed", cores).result())
                jobs = [pool.submit(_alone, size, "mixed", 1) for _ in range(cores)]
                side_by_side.append(sum(j.result() for j in jobs) / cores / cores)
                peak.append(sgemm_peak() / 1e9)
        name = f"step of a run over {cores} threads / its share of {cores} runs of one thread"
        rate = [_needed(size, "mixed") / s / 1e9 for s in side_by_side]
        yield [
            compare(name, size, "mixed", wide, side_by_side),
            compare(f"work of {cores} runs of one thread / sgemm peak", size, "mixed", rate, peak,
                    "GFLOP/s"),
        ]  # fmt: skip


def _needed(size: str, shape: str) -> float:
    """Floating-point operations per step, as a mean over the steps of one measurement."""
    batch = work.rows(shape, PAIRS * STEPS)
    steps = (torch.arange(k, k + PAIRS) for k in range(0, PAIRS * STEPS, PAIRS))
    return sum(sum(work.step_work(size, batch.pairs(step))) for step in steps) / STEPS


def piece_rows(rounds: int) -> Iterator[list[Row]]:
    """Gains of two single changes: one pass over the weights, and one operation for gelu."""
    from transformers.activations import GELUTanh, NewGELUActivation

    for size in work.SIZES:
        model = work.model(size)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        weights, kinds = list(model.parameters()), ("foreach", "fused")
        steps = [torch.optim.AdamW(weights, lr=0.0, **{k: True}).step for k in kinds]  # type: ignore[arg-type]
        found = by_turns(dict(zip(kinds, (seconds(s, 5) for s in steps), strict=True)), rounds)
        name = "AdamW: one pass an operation / one pass"
        yield [compare(name, size, "", found["foreach"], found["fused"])]
        states = torch.randn(PAIRS * 72, 4 * work.SIZES[size][1], requires_grad=True)

        def both_ways(gelu: torch.nn.Module, states: torch.Tensor) -> None:
            gelu(states).sum().backward()

        forms = {"spelled": NewGELUActivation(), "one": GELUTanh()}
        gelus = {name: partial(both_ways, form, states) for name, form in forms.items()}
        found = by_turns({name: seconds(g, 5) for name, g in gelus.items()}, rounds)
        name = "gelu: in eight operations / in one"
        yield [compare(name, size, "", found["spelled"], found["one"])]


# Part of a step -> words in the names of torch's operations that belong to it.
KINDS = {
    "matrix products": ("mm",),
    "attention": ("scaled_dot_product",),
    "gelu and norms": ("gelu", "layer_norm"),
    "log-softmax": ("log_softmax",),
    "optimizer": ("adamw", "Optimizer", "zero_grad"),
    "copies and moves": ("copy_", "cat", "fill_", "embedding", "index", "clone"),
}


def profile_rows(rounds: int) -> Iterator[list[Row]]:
    """The share of each kind of operation in the time of our step, from torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    for size in work.SIZES:
        train, shares = ours(size, "mixed"), dict[str, list[float]]()
        train()
        whole = []
        for _ in range(rounds):
            with profile(activities=[ProfilerActivity.CPU]) as recorded:
                train()
            events = recorded.key_averages()
            whole.append(sum(e.self_cpu_time_total for e in events) / 1e6)
            taken = dict.fromkeys([*KINDS, "everything else"], 0.0)
            for event in events:
                kind = next((k for k, words in KINDS.items() if any(w in event.key for w in words)),
                            "everything else")  # fmt: skip
                taken[kind] += event.self_cpu_time_total / 1e6
            for kind, seconds_taken in taken.items():
                shares.setdefault(kind, []).append(seconds_taken)
        yield [compare(f"our step: {kind} / all", size, "mixed", part, whole)
               for kind, part in shares.items()]  # fmt: skip
