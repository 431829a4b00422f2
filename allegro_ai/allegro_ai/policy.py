"""``act(observation) -> action``: what the node, the evaluation and the replay call, whatever computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from allegro_description.errors import BundleError
from numpy.typing import NDArray

from allegro_ai.backends import Backend

Array32 = NDArray[np.float32]


@runtime_checkable
class Policy(Protocol):
    """Anything that decides: a bundle, a numpy policy in training, a fixed baseline."""

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Start new episodes, in all environments or where ``which`` (batch,) is true."""

    def act(self, observation: Mapping[str, Array32]) -> Array32:
        """Action in [-1, 1] for each environment, (batch, n_joints). Called once per control step."""


@dataclass(frozen=True)
class Recurrence:
    """One recurrent state: graph input, its shape, and the output that feeds it."""

    name: str
    shape: tuple[int, ...]
    output: str


def _batched(shape: tuple[int, ...], feed: Mapping[str, Array32]) -> tuple[int, ...]:
    """Shape of a state for all environments: two dimensions of which the first is 1 are (batch, width)."""
    if len(shape) != 2 or shape[0] != 1:
        return shape
    return (len(next(iter(feed.values()))), shape[1])


class GraphPolicy:
    """A policy that runs a graph in a backend; keeps the stack of past observations and the recurrent state.

    Attributes:
        past: past observations of each term, oldest first, (batch, steps, elements).
        state: recurrent states by name.
    """

    def __init__(
        self,
        backend: Backend,
        inputs: Sequence[str],
        output: str,
        *,
        stack: int = 1,
        recurrences: Sequence[Recurrence] = (),
        extras: Sequence[str] = (),
        graph: bytes | None = None,
    ) -> None:
        """Wrap a backend.

        Args:
            backend: runs the graph.
            inputs: observation terms that the graph takes.
            output: graph output that is the action.
            stack: how many observations the graph takes at once; 1 means inputs without a time dimension.
            recurrences: recurrent states.
            extras: further outputs, kept in :attr:`extra` after each :meth:`act`.
            graph: the graph as the backend runs it, if somebody else may want to run it.
        """
        self.backend, self.inputs, self.output = backend, tuple(inputs), output
        self._stack, self._recurrences = stack, tuple(recurrences)
        self.extras, self.graph = tuple(extras), graph
        self.extra: dict[str, Array32] = {}
        self.past: dict[str, Array32] = {}
        self.state: dict[str, Array32] = {}
        self._partly_reset = False

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Forget past observations and recurrent state; recurrent graphs are reset all at once only.

        Raises:
            BundleError: a partial reset of a graph with recurrent state whose first dimension is not the batch.
        """
        self.extra.clear()
        if which is None or which.all():
            self.past.clear()
            self.state.clear()
            return
        for history in self.past.values():
            history[which] = np.nan  # refilled from the next observation
        self._partly_reset = True
        for recurrence in self._recurrences:
            if recurrence.name in self.state:
                state = self.state[recurrence.name]
                if len(state) != len(which):
                    raise BundleError(f'recurrent state {recurrence.name!r} of shape {recurrence.shape} cannot be '
                                      'reset for single environments; reset all of them')
                state[which] = 0.0

    def act(self, observation: Mapping[str, Array32]) -> Array32:
        """Run the graph once.

        Raises:
            BundleError: a term is missing.
        """
        try:
            feed = {name: observation[name] for name in self.inputs}
        except KeyError as error:
            raise BundleError(f'the policy needs the observation term {error.args[0]!r}') from None
        if self._stack > 1:
            feed = {name: self._stacked(name, value) for name, value in feed.items()}
            self._partly_reset = False
        for recurrence in self._recurrences:
            if recurrence.name not in self.state:
                self.state[recurrence.name] = np.zeros(_batched(recurrence.shape, feed), dtype=np.float32)
            feed[recurrence.name] = self.state[recurrence.name]
        outputs = self.backend.run(feed)
        for recurrence in self._recurrences:
            self.state[recurrence.name] = np.array(outputs[recurrence.output], dtype=np.float32)
        for name in self.extras:
            self.extra[name] = outputs[name]
        return outputs[self.output]

    def _stacked(self, name: str, value: Array32) -> Array32:
        past = self.past.get(name)
        if past is None or len(past) != len(value):
            past = np.repeat(value[:, None], self._stack, axis=1)
        else:
            past[:, :-1] = past[:, 1:]
            past[:, -1] = value
            if self._partly_reset:
                fresh = np.isnan(past[:, 0]).any(axis=-1)
                past[fresh] = value[fresh, None]
        self.past[name] = past
        return past
