"""A way of deciding that may look at what was seen in, the probability of each decision in one patient out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data.errors import WrongUsage
from data.schema import Decision
from twin.arrays import Floats, Integers
from twin.simulation.situation import Situation
from twin.simulation.tree import Tree
from twin.timeline import plan_digits

Policy = Callable[[Decision, pd.DataFrame, Mapping[str, str]], float]
"""Probability of a yes, given a decision, the patient's row, and what was decided (``"0"``, ``"1"``) and seen before"""


@dataclass(frozen=True, eq=False)
class Habit:
    """A policy, or a plan by name, in one patient; asked once for every history.

    Raises:
        WrongUsage: the plan is incomplete or no plan.
    """

    situation: Situation
    policy: Policy | str
    _answers: dict[tuple[str, int], float] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.policy, str) and np.isnan(plan_digits(self.situation.spec, self.policy)).any():
            raise WrongUsage(f"plan '{self.policy}' leaves a decision open", remedy="give every digit")

    def depth(self, decision: int) -> int:
        """How many steps come before a decision."""
        return sum(model.step.decision < decision for model in self.situation.models.transitions.steps)

    def yes(self, decision: int, tree: Tree, nodes: Integers, digits: Floats) -> Floats:
        """(k,) probability of a yes at nodes (k,) before a decision, after earlier ones (d,)."""
        recorded = self.situation.recorded[decision]
        if not np.isnan(recorded):
            return np.full(len(nodes), recorded)
        if isinstance(self.policy, str):
            return np.full(len(nodes), float(self.policy[decision]))
        so_far = "".join(str(int(digit)) for digit in digits[:decision])
        return np.array([self._ask(self.policy, decision, tree, int(node), so_far) for node in nodes])

    def _ask(self, policy: Policy, decision: int, tree: Tree, node: int, so_far: str) -> float:
        key = (so_far, node)
        if key not in self._answers:
            spec = self.situation.spec
            history = {spec.decisions[k].column: digit for k, digit in enumerate(so_far)}
            states = tree.ancestors(np.array([node]), self.depth(decision))
            for level, state in zip(tree.levels, states, strict=False):
                history.update(level.words[int(state[0])])
            chance = float(policy(spec.decisions[decision], self.situation.frame, history))
            if not 0.0 <= chance <= 1.0:
                raise WrongUsage(
                    f"the policy says {chance:g} for {spec.decisions[decision].column}", remedy="return a probability"
                )
            self._answers[key] = chance
        return self._answers[key]
