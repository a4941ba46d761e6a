"""Checks of room and price; none of them uses a closed form of the chapter as its reference."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.optimize import NonlinearConstraint, minimize

from dpofield.field.price import gaussian_optimum, least_kl
from dpofield.field.room import CEILING, ceiling_of_judges, judged, ordered
from dpofield.formulas import LOSSES


def _world(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random reference and policy (n,), as log-probabilities, and a random judge (n, n)."""
    ref, policy = np.log(rng.dirichlet(np.ones(n), size=2))
    lower = np.tril(rng.random((n, n)), -1)
    lower = np.round(lower) if rng.random() < 0.5 else lower
    return ref, policy, lower + np.triu(1 - lower.T, 1) + np.eye(n) / 2


def accounting_pair_by_pair() -> str:
    """Means of u and v over all pairs of random worlds, against divergences."""
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(100):
        n = int(rng.integers(2, 7))
        ref, policy, wins = _world(rng, n)
        p, gain = np.exp(ref), policy - ref
        q_w, q_l, u, v = np.zeros(n), np.zeros(n), 0.0, 0.0
        for i, j in itertools.product(range(n), repeat=2):
            for w, l, chance in ((i, j, wins[i, j]), (j, i, wins[j, i])):  # noqa: E741
                weight = p[i] * p[j] * chance
                q_w[w], q_l[l] = q_w[w] + weight, q_l[l] + weight
                u, v = u + weight * gain[w], v + weight * gain[l]
        found = judged(ref, wins).account(policy)
        for mean, q, ours in ((u, q_w, found.u), (v, q_l, found.v)):
            some = q > 0
            q, near, far = q[some], ref[some], policy[some]
            by_kl = q @ (np.log(q) - near) - q @ (np.log(q) - far)
            worst = max(worst, abs(mean - by_kl), abs(mean - ours))
        worst = max(worst, abs((u + v) / 2 + p @ (ref - policy)))
    assert worst < 1e-12, f"an account differs by {worst:.0e} nats"
    return f"largest difference {worst:.0e} nats over 100 random worlds, judges and policies"


def no_judge_passes_the_ceiling() -> str:
    """Ceilings of random judges over random references, and a strict order of many responses."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(1000):
        ref, _, wins = _world(rng, int(rng.integers(2, 12)))
        found.append(judged(ref, wins).ceiling)
    strict = ordered(np.log(np.full(2000, 1 / 2000)), np.arange(2000)).ceiling
    assert max(found) < CEILING, f"a judge has the ceiling {max(found):.4f}"
    assert CEILING - 1e-5 < strict < CEILING, f"a strict order of 2000 has {strict:.6f}"
    return f"random judges: at most {max(found):.4f}; strict order of 2000: {strict:.6f} nats"


def ceiling_of_judges_by_sampling() -> str:
    """Ceilings of Bradley-Terry judges with Gaussian rewards, from samples of rewards."""
    rng, said = np.random.default_rng(2), []
    for sd in (0.5, 1.0, 3.0, 10.0):
        r, other = sd * rng.normal(size=(2, 4000))
        w = np.array([np.mean(1 / (1 + np.exp(other - one))) for one in r])
        terms = 2 * w * np.log(2 * w)
        sampled, error = terms.mean(), terms.std() / np.sqrt(len(r)) + 1 / len(other)
        exact = ceiling_of_judges(sd)
        assert abs(sampled - exact) < 5 * error, f"sd {sd}: {sampled:.4f}, not {exact:.4f}"
        said.append(f"{exact:.3f}")
    return f"standard deviations 0.5, 1, 3, 10: {', '.join(said)} nats, as sampled"


def dispreferred_falls_more() -> str:
    """Who moved more, in the mean over pairs of the reference, at random policies."""
    rng, more = np.random.default_rng(3), []
    for _ in range(2000):
        ref, policy, wins = _world(rng, 6)
        p, gain = np.exp(ref), policy - ref
        weight = 2 * p[:, None] * p * wins
        u, v = weight.sum(axis=1) @ gain, weight.sum(axis=0) @ gain
        assert v < CEILING - (u - v), "the dispreferred is above its bound"
        more.append(-v - u)
    assert min(more) > 0, "the preferred has risen by more than the dispreferred has fallen"
    return f"in all of {len(more)} policies; the difference is at least {min(more):.3f} nats"


def price_by_an_optimizer() -> str:
    """The least KL at a margin, by SciPy's optimizer over all policies of random worlds."""
    rng, worst = np.random.default_rng(4), 0.0
    for _ in range(6):
        ref, _, wins = _world(rng, 6)
        pairs = judged(ref, wins)
        p, score = np.exp(ref), pairs.score[0]

        def gain(z: np.ndarray, ref: np.ndarray = ref) -> np.ndarray:
            return np.asarray(z - np.logaddexp.reduce(z) - ref)

        def margin(z: np.ndarray, pull: np.ndarray = 2 * p * score) -> float:
            return float(pull @ gain(z))

        for m in (0.05, 0.3, 1.5):
            found = minimize(
                lambda z, p=p: -p @ gain(z), ref, method="SLSQP",
                constraints=NonlinearConstraint(margin, m, m),
                options={"ftol": 1e-14, "maxiter": 1000},
            )  # fmt: skip
            assert abs(margin(found.x) - m) < 1e-7, found.message
            worst = max(worst, abs(found.fun - float(least_kl(m, pairs))))
    assert worst < 1e-5, f"the optimizer differs by {worst:.0e} nats"
    return f"largest difference {worst:.0e} nats over 6 worlds and 3 margins"


def optimum_by_sampling() -> str:
    """The RLHF optimum of a Gaussian reward: its normaliser, pairs and margin by sampling."""
    rng, said = np.random.default_rng(5), []
    one, two, other = rng.normal(size=(3, 300_000))
    for beta in (2.0, 1.0, 0.8):
        weight = np.exp(other / beta)
        u = np.maximum(one, two) / beta - np.log(weight.mean())
        v = np.minimum(one, two) / beta - np.log(weight.mean())
        error = (u.std() + weight.std() / weight.mean()) / np.sqrt(len(u))
        exact = gaussian_optimum(2 / (beta * np.sqrt(np.pi)))
        assert abs((u - v).mean() - exact.margin) < 5 * error, f"margin at beta {beta}"
        assert abs(u.mean() - exact.u) < 5 * error, f"u at beta {beta}"
        said.append(f"{exact.u:+.3f} at m = {exact.margin:.2f}")
    return f"mean u {', '.join(said)}, as sampled"


def shifted_references() -> str:
    """Train a softmax by AdamW with references multiplied by exp(-c), on three pairs."""
    ends, sizes = [], []
    for c in (-20.0, -3.0, 0.0, 3.0, 20.0):
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(6, dtype=torch.float64, generator=generator).requires_grad_()
        ref = torch.log_softmax(z.detach(), 0) - c
        optimizer = torch.optim.AdamW([z], lr=0.05)
        for step in range(100):
            gain = torch.log_softmax(z, 0) - ref
            loss = LOSSES["dpo"].torch(gain[:3], gain[3:], beta=0.1).mean()
            if step == 0:
                ratio = gain.detach().exp().requires_grad_()
                apart = LOSSES["dpo"].torch(ratio.log()[:3], ratio.log()[3:], beta=0.1).mean()
                sizes.append(float(torch.autograd.grad(apart, ratio)[0].norm()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ends.append(torch.log_softmax(z, 0).detach())
    worst = max(float((end - ends[2]).abs().max()) for end in ends)
    assert worst < 1e-10, f"a shifted reference changes training by {worst:.0e} nats"
    return (
        f"field from {min(sizes):.0e} to {max(sizes):.0e}, trained policies equal to "
        f"{worst:.0e} nats"
    )


def middle_by_autograd() -> str:
    """Slope and curvature of the mean middle at the start, in a small network, by autograd."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(9, 4, dtype=torch.float64, generator=generator)
    theta = torch.randn(15, dtype=torch.float64, generator=generator) / 2

    def logp(p: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(torch.tanh(inputs @ p[:12].view(4, 3)) @ p[12:], 0)

    ref = logp(theta)

    def middle(p: torch.Tensor) -> torch.Tensor:
        return (ref.exp() * (logp(p) - ref)).sum()

    slope = torch.autograd.functional.jacobian(middle, theta)  # type: ignore[no-untyped-call]
    curve = torch.autograd.functional.hessian(middle, theta)  # type: ignore[no-untyped-call]
    scores = torch.autograd.functional.jacobian(logp, theta)  # type: ignore[no-untyped-call]
    fisher = scores.T @ (ref.exp()[:, None] * scores)
    first, second = float(slope.abs().max()), float((curve + fisher).abs().max())
    assert first < 1e-14, f"slope {first:.0e}"
    assert second < 1e-12, f"curvature is not minus the Fisher matrix: {second:.0e}"
    return f"largest slope {first:.0e}; curvature and Fisher matrix differ by {second:.0e}"
