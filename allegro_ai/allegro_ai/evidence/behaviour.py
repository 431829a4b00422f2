"""What a bundle makes a hand do, as far as it can be compared: numbers and answers, not words.

Two bundles behave the same if (1) every number and name of the contract that loader, node or driver check acts on is
equal, (2) the graph answers the same bytes, action and further outputs, on a fixed set of inputs in sequences, and
(3) the out-of-distribution score of these inputs has the same bytes. Everything else that moves a hand (phases, rate
limit, joint limits, holds) is code of the suite that is a function of these. A graph that differs only on inputs that
are not in the set counts as the same; that is the limit of any test by examples.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allegro_ai import golden
from allegro_ai.bundle import Bundle
from allegro_ai.policy import Policy

Array32 = NDArray[np.float32]
Inputs = list[list[dict[str, Array32]]]

WORDS = ('bundle', 'provenance', 'evaluation', 'integrity', 'normalisation', 'golden', 'ood')
"""Sections of the contract that say something and decide nothing once the bundle is loaded."""

_GOLDEN, _RANDOM, _STEPS = 8, 8, 3


@dataclass(frozen=True)
class Behaviour:
    """See the module. ``decides`` are the numbers, ``answers`` and ``scores`` what was computed on the inputs."""

    decides: Mapping[str, Any]
    answers: NDArray[np.float32]
    scores: NDArray[np.float64]

    def compared(self, other: Behaviour, tolerance: float) -> str:
        """``same`` (every byte), ``within`` (answers within the golden tolerance, all else the same) or ``other``."""
        if self.decides != other.decides or self.scores.tobytes() != other.scores.tobytes() or \
                self.answers.shape != other.answers.shape:
            return 'other'
        if self.answers.tobytes() == other.answers.tobytes():
            return 'same'
        return 'within' if float(np.abs(self.answers - other.answers).max()) <= tolerance else 'other'


def example_inputs(bundle: Bundle) -> Inputs:
    """Sequences of observations: the first golden ones, and random walks that no bundle knows."""
    arrays = bundle.arrays(golden.FILE)
    steps = arrays['output'].shape[1]
    known = [[{n: arrays[f'input/{n}'][k:k + 1, t] for n in bundle.inputs} for t in range(steps)]
             for k in range(_GOLDEN)]
    if bundle.workload:
        return known
    walk = golden.random_observations(bundle.model, bundle.observation_spec, _RANDOM, _STEPS, seed=20_26)
    return known + [[{n: value[k:k + 1] for n, value in step.items()} for step in walk] for k in range(_RANDOM)]


def decisions(contract: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a contract that somebody acts on."""
    decides = {k: v for k, v in copy.deepcopy(dict(contract)).items() if k not in WORDS}
    decides['kind'] = contract.get('kind', 'policy')
    decides['runtime'].pop('providers')
    for entry in decides['inputs']:
        entry.pop('definition', None)
    decides['action'].pop('in_graph')
    return decides


def behaviour(bundle: Bundle, policy: Policy, inputs: Inputs) -> Behaviour:
    """What ``bundle`` decides by and answers to ``inputs``; ``policy`` is its loaded graph."""
    names = [entry['name'] for entry in bundle.contract.get('extra_outputs', ())]
    answers = []
    for sequence in inputs:
        policy.reset()
        for observation in sequence:
            answers.append(np.array(policy.act(observation), dtype=np.float32).ravel())
            answers += [np.array(getattr(policy, 'extra', {})[name], dtype=np.float32).ravel() for name in names]
    policy.reset()
    scores = np.zeros(0)
    if not bundle.workload:
        model = bundle.ood()
        walks = [step for sequence in inputs for step in sequence if set(model.terms) <= set(step)]
        scores = np.concatenate([model.score(step) for step in walks]) if walks else scores
    return Behaviour(decisions(bundle.contract), np.concatenate(answers), scores)
