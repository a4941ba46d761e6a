"""A theorem as an object: its statement, its assumptions and a proof that SymPy checks.

The proof is a set of chains of equalities. SymPy checks each link separately, so it finds a wrong
intermediate step even if the end is right. `residual` is exactly 0 if every link holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import sympy as sp

from dpofield.formulas.printers import latex


def difference(left: sp.Expr, right: sp.Expr) -> sp.Expr:
    """`left - right`, evaluated and simplified: exactly 0 when SymPy can prove them equal.

    Derivatives, limits and integrals are evaluated first, and the stable functions are replaced
    by their definitions.

    >>> x = sp.Symbol("x", positive=True)
    >>> difference(sp.Derivative(sp.log(x), x), 1 / x)
    0
    """
    gap = (left.doit() - right.doit()).rewrite(sp.log)
    return sp.simplify(sp.powsimp(sp.expand_log(gap)))


@dataclass(frozen=True)
class Step:
    """One link of a chain: the rule, in words, and the expression that it gives."""

    rule: str
    expr: sp.Expr


@dataclass(frozen=True)
class Chain:
    """`start = step 1 = step 2 = ... `; the equality proved is `start = last step`.

    `name` is the LaTeX name of the left-hand side, if it has one.
    """

    start: sp.Expr
    steps: tuple[Step, ...]
    name: str = ""

    @property
    def equation(self) -> sp.Eq:
        """The equality that this chain proves, with an unevaluated left-hand side."""
        return sp.Eq(self.start, self.steps[-1].expr, evaluate=False)

    @property
    def latex(self) -> str:
        """The equality proved, as LaTeX, with `name` on the left if there is one."""
        left = self.name or latex(self.start)
        return f"{left} = {latex(self.steps[-1].expr)}"

    @cached_property
    def residuals(self) -> tuple[sp.Expr, ...]:
        """The simplified difference across each link, in order."""
        nodes = [self.start, *(step.expr for step in self.steps)]
        return tuple(difference(a, b) for a, b in pairwise(nodes))


def chain(start: sp.Expr, *steps: tuple[str, sp.Expr | int], name: str = "") -> Chain:
    """A chain of equalities: the start, then each rule with the expression that it gives.

    >>> x = sp.Symbol("x")
    >>> proof = chain((x + 1) ** 2 - x**2, ("Expand.", 2 * x + 1))
    >>> proof.residuals
    (0,)
    """
    return Chain(start, tuple(Step(rule, sp.sympify(expr)) for rule, expr in steps), name)


@dataclass(frozen=True)
class Derivation:
    """A statement with its proof.

    `statement` is a sentence; `chains` are the equalities that prove it. `facts` are signs and
    memberships that SymPy decides, each as a sentence and its Boolean value. `source` is the
    publication with the statement's number, or `"own derivation"`.
    """

    id: str
    title: str
    statement: str
    chains: tuple[Chain, ...]
    source: str
    assumptions: tuple[str, ...] = ()
    facts: tuple[tuple[str, object], ...] = field(default=())

    @property
    def equations(self) -> tuple[sp.Eq, ...]:
        """The equalities proved, in the order of the chains."""
        return tuple(chain.equation for chain in self.chains)

    @cached_property
    def residual(self) -> sp.Expr:
        """One expression that is exactly 0 if and only if every link holds.

        It is the sum of the links' residuals, weighted by independent symbols so that they
        cannot cancel.
        """
        links = [r for chain in self.chains for r in chain.residuals]
        return sp.Add(*(r * sp.Dummy(f"w{i}") for i, r in enumerate(links)))

    @property
    def proved(self) -> bool:
        """True when the residual is exactly 0 and every fact is `True` (not merely truthy)."""
        return bool(self.residual == 0 and all(fact is True for _, fact in self.facts))

    def check(self) -> None:
        """Raise `AssertionError` naming the first link or fact that does not hold."""
        for number, chain in enumerate(self.chains, 1):
            for step, gap in zip(chain.steps, chain.residuals, strict=True):
                if gap != 0:
                    raise AssertionError(
                        f"{self.id}: chain {number}, step {step.rule!r} leaves {gap}"
                    )
        for sentence, fact in self.facts:
            if fact is not True:
                raise AssertionError(f"{self.id}: SymPy answers {fact} to {sentence!r}")

    def _repr_markdown_(self) -> str:
        """The proof as a numbered list of steps, with its assumptions, for Jupyter and the book."""
        lines: list[str] = []
        for chain in self.chains:
            name = f"{chain.name} = " if chain.name else ""
            lines += [f"$${name}{latex(chain.start)}$$", ""]
            for number, step in enumerate(chain.steps, 1):
                lines += [f"{number}. {step.rule}", "", f"   $$= {latex(step.expr)}$$", ""]
        for sentence, fact in self.facts:
            lines.append(f"- {sentence}: SymPy answers **{fact}**.")
        if self.assumptions:
            given = "; ".join(self.assumptions).replace("<", r"\<")
            lines += ["", f"Assumed: {given}."]
        lines += ["", f"Residual over all steps: ${latex(self.residual)}$."]
        return "\n".join(lines)
