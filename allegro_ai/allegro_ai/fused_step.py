"""A control step in RUN as one call of ONNX Runtime on memory that is bound once.

:class:`FusedStep` runs the graph of :mod:`allegro_ai.step_graph`; :func:`fuse` builds it for a loaded policy and
compares it with the numpy path (:mod:`~allegro_ai.observation`, :mod:`~allegro_ai.policy`, :mod:`~allegro_ai.ood`,
:mod:`~allegro_ai.grasp`) on random walks with gaps, saturation and missing touch before anything may use it. The numpy
path stays: for the first step of a grasp, for every other engine, and for whatever this one does not take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, BundleError
from numpy.typing import NDArray

from allegro_ai.bundle import Bundle
from allegro_ai.grasp import GraspController, Phase
from allegro_ai.observation import GRIP_CLASSES, ObservationBuilder
from allegro_ai.policy import GraphPolicy, Policy

Float = NDArray[np.float64]
Array32 = NDArray[np.float32]

ENGINE = 'onnxruntime'
TOLERANCE = 1e-6
"""Largest difference from the numpy path that is allowed: of an observation or action, relative to its size above 1; of
a target, rad; of a score, relative."""

_TYPES = {'tensor(double)': np.float64, 'tensor(float)': np.float32, 'tensor(int64)': np.int64}
_WALKS, _STEPS = 3, 60


class Seen(Mapping[str, Array32]):
    """Observation of one step by term, (1, elements) each, cut out of one vector on demand."""

    __slots__ = ('_places', '_values')

    def __init__(self, values: Array32, places: Mapping[str, slice]) -> None:
        """``values`` is (1, all elements) and stays as it is."""
        self._values, self._places = values, places

    def __getitem__(self, name: str) -> Array32:
        return self._values[:, self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class FusedStep:
    """Runs the step graph of one hand. Used by one thread.

    Attributes:
        action: action of the last step as the policy gave it, (1, n_joints); overwritten by the next.
        extra: its further outputs by name, (1, elements) each; overwritten by the next.
        grip: the grip class that was set last.
    """

    grip: Array32

    def __init__(self, bundle: Bundle, graph: bytes, *, folded: bool = True) -> None:
        """Build the graph and bind its memory.

        Raises:
            BundleError: the step cannot be written around this graph, or the engine refuses it.
        """
        from allegro_ai import step_graph as names
        from allegro_ai.backends.onnxruntime_cpu import new_session
        from allegro_ai.windows import Rows
        made = names.build_step_graph(bundle, graph, folded=folded)
        session = new_session(made.model, reuse=False)
        n, cells = len(bundle.model.joints), len(bundle.model.taxels)
        # Target, position, position before, pressures: what has to be finite lies in one row.
        row = np.zeros(3 * n + cells)
        self._row, self._zeros, self._n, self._shape = row, np.zeros_like(row), n, (n,)
        self._target, self._position, self._before, self._pressure = np.split(row, [n, 2 * n, 3 * n])
        self._valid = np.zeros(cells)
        shared = {names.NEWER: row[:2 * n], names.OLDER: row[n:3 * n], names.LAST_TARGET: self._target,
                  names.POSITION: self._position, names.PRESSURE: self._pressure, names.VALID: self._valid}
        values = [*session.get_inputs(), *session.get_outputs()]
        self._buffers: dict[str, Sequence[Any]] = {}
        """Memory of each value, turn by turn: what one turn wrote to be remembered, the next one reads."""
        for value in values:
            buffer = shared.get(value.name)
            self._buffers[value.name] = (np.zeros(value.shape, _TYPES[value.type]) if buffer is None else buffer,) * 2
        for name, after in made.memory.items():
            one, two = self._buffers[name][0], self._buffers[after][0]
            self._buffers[name], self._buffers[after] = (one, two), (two, one)
        for past, whole in made.stacks.items():
            # All but the oldest of what was written is the past of the next step, and lies there already.
            one, two = self._buffers[whole][0], np.zeros_like(self._buffers[whole][0])
            self._buffers[whole], self._buffers[past] = (one, two), (two[:, 1:], one[:, 1:])
        self._rows: Rows | None = None
        if made.windows:
            self._rows = rows = Rows(int(bundle.contract['runtime']['history']['steps']),
                                     self._buffers[names.SEEN][0].shape[1])
            self._buffers[names.SEEN] = [rows.newest(turn) for turn in range(rows.turns)]
            for name, window in made.windows.items():
                self._buffers[name] = [rows.window(turn, window) for turn in range(rows.turns)]
        self._bindings = [self._bound(session, turn) for turn in range(len(self._buffers[names.SEEN]))]
        self._run = session.run_with_iobinding
        self._names, self._places, self._elements, self._within = names, made.seen, made.elements, made.within
        self._moves, self._touches = names.OLDER in self._buffers, names.VALID in self._buffers
        self._states = {state['name'] for state in bundle.contract['runtime']['state']}
        self._stacks = {past: past.removeprefix(names.PAST) for past in made.stacks}
        self._turn, self._last, self._seen = 0, 1, self._buffers[names.SEEN]
        self._deviation = self._buffers[names.DEVIATION][0][0]
        self._tips = names.WORST in self._buffers
        self._worst = self._buffers.get(names.WORST, (np.zeros(()),))[0]
        self._targets = self._buffers[made.memory[names.TARGET]]
        self.action: Array32 = self._buffers[bundle.contract['output']['name']][0]
        self._flat_action, self._no_action = self.action[0], np.zeros_like(self.action[0])
        self.extra: dict[str, Array32] = {e['name']: self._buffers[e['name']][0]
                                          for e in bundle.contract.get('extra_outputs', ())}

    def _bound(self, session: Any, turn: int) -> Any:
        binding = session.io_binding()
        for values, bind in ((session.get_inputs(), binding.bind_input), (session.get_outputs(), binding.bind_output)):
            for value in values:
                buffers = self._buffers[value.name]
                place = buffers[turn % len(buffers)].ctypes.data
                bind(value.name, 'cpu', 0, _TYPES[value.type], value.shape, place)
        return binding

    def takes(self, target: Float) -> bool:
        """Whether it can go on from a target, rad, (1, n_joints).

        Limits that cannot act from within the bounds of the policy are not computed. A hand that begins outside of them
        is led inside by the numpy path, which computes all of them; from there no step leads out.
        """
        if self._within is None:
            return True
        low, high = self._within
        return bool(((target >= low) & (target <= high)).all())

    def begin(
        self, builder: ObservationBuilder, controller: GraspController, policy: GraphPolicy, last_action: Float,
    ) -> None:
        """Go on from where the numpy path is after at least one step in RUN.

        Args:
            builder: its memory and its grip class are taken over.
            controller: its target, one that :meth:`takes` takes, and its reference are.
            policy: its past observations and state are.
            last_action: action of the last step, (1, n_joints).
        """
        names, past = self._names, builder.memory
        self._turn, self._last = 0, 1
        values: dict[str, Any] = {
            names.TIP: past['pressure'], names.KNOWN: past['valid'], names.CONTACT: past['contact'],
            names.TRACE: past['trace'], names.LAST_ACTION: last_action, names.TARGET: controller.target,
            names.REFERENCE: controller.reference,
            **{name: policy.state[name] for name in self._states},
            **{place: policy.past[name][:, 1:] for place, name in self._stacks.items()}}
        for name, value in values.items():
            if name in self._buffers:
                self._buffers[name][0][...] = value
        if self._rows is not None:
            for name, place in self._places.items():
                self._rows.fill(place, policy.past[name][0, 1:])
        self._position[:] = past['position'][0]
        self.set_grip(builder.grip)

    def set_grip(self, grip: Array32) -> None:
        """Set how delicate the object is: one-hot, (1, classes)."""
        self.grip = grip
        if self._names.GRIP in self._buffers:
            self._buffers[self._names.GRIP][0][...] = grip

    def run(
        self, position: Float, last_target: Float, pressure: Float | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> bool:
        """Compute one step.

        Args:
            position: joint angles, rad, (n_joints,).
            last_target: target sent in the step before, rad, (n_joints,).
            pressure: pressure above baseline of all taxels, Pa, (n_taxels,); None: no touch at all.
            valid: which of them can be trusted, (n_taxels,); None: all that are finite.

        Returns:
            False, with nothing computed, for joint values that are not finite and for wrong shapes: the numpy path
            then says what is wrong.
        """
        if position.shape != self._shape or last_target.shape != self._shape:
            return False
        if self._moves:
            self._before[:] = self._position
        self._position[:] = position
        self._target[:] = last_target
        if pressure is None:
            if self._touches:
                self._pressure[:] = self._valid[:] = 0.0
        elif pressure.shape != self._valid.shape or (valid is not None and valid.shape != self._valid.shape):
            return False
        elif self._touches:
            self._pressure[:] = pressure
            self._valid[:] = 1.0 if valid is None else valid if valid.dtype.kind == 'b' else valid.astype(bool)
        if np.vdot(self._row, self._zeros):  # zero times what is not finite is NaN, which is true; dot would warn
            if not np.isfinite(self._row[:3 * self._n]).all():
                return False
            unknown = ~np.isfinite(self._pressure)
            self._pressure[unknown] = self._valid[unknown] = 0.0
        self._run(self._bindings[self._turn])
        self._last = self._turn
        self._turn += 1
        if self._turn == len(self._bindings):
            self._turn = 0
            if self._rows is not None:
                self._rows.carry_back()
        return True

    @property
    def in_place(self) -> bool:
        """Whether past observations are read where they lie, see :mod:`allegro_ai.windows`."""
        return self._rows is not None

    def finite(self) -> bool:
        """Whether the action of the last step is; if not, there is no target."""
        return not np.vdot(self._flat_action, self._no_action)  # zero times what is not finite is NaN, which is true

    @property
    def target(self) -> Float:
        """Target of the last step, rad, (1, n_joints), in memory that the step after the next overwrites."""
        target: Float = self._targets[self._last % 2]
        return target

    def seen(self) -> Seen:
        """What the policy saw in the last step."""
        return Seen(self._seen[self._last % len(self._seen)].copy(), self._places)

    def worst_kpa(self) -> float:
        """Highest pressure of a fingertip in the last step, kPa; 0 without touch."""
        return max(float(self._worst), 0.0) if self._tips else 0.0

    def score(self) -> float:
        """Distance of the last step from the training data, as :meth:`allegro_ai.ood.OodModel.score`."""
        return math.sqrt(np.vdot(self._deviation, self._deviation) / self._elements)


def fuse(bundle: Bundle, policy: Policy) -> tuple[FusedStep | None, str]:
    """A checked step for a loaded policy, or None and why not; first with folded chains, then without."""
    if not isinstance(policy, GraphPolicy) or policy.backend.name != ENGINE or policy.graph is None:
        return None, f'only the backend {ENGINE} runs whole steps'
    if bundle.workload:
        return None, 'a workload has no whole step'
    reason = ''
    for folded in (True, False):
        try:
            step = FusedStep(bundle, policy.graph, folded=folded)
            check(step, bundle, policy)
            return step, ''
        except Exception as error:  # whatever is odd about a graph: the numpy path runs it
            reason = str(error) if isinstance(error, AllegroError) else f'{type(error).__name__}: {error}'
        finally:
            policy.reset()
    return None, reason


def check(step: FusedStep, bundle: Bundle, policy: GraphPolicy, seed: int = 0) -> float:
    """Compare with the numpy path on random walks, step by step.

    Returns:
        The largest difference, in units of :data:`TOLERANCE`.

    Raises:
        BundleError: it is above 1; the message says of what.
    """
    rng, model, largest = np.random.default_rng(seed), bundle.model, 0.0
    builder, controller, ood = bundle.builder(), bundle.controller(), bundle.ood()
    for walk in range(_WALKS):
        builder.reset()
        policy.reset()
        builder.set_grip(GRIP_CLASSES[walk % len(GRIP_CLASSES)])
        position = rng.uniform(model.lower, model.upper)
        controller.start(Phase.RUN, position[None])
        action: Float = np.zeros((1, len(model.joints)))
        begun = False
        for number in range(_STEPS):
            position = np.clip(position + rng.normal(0.0, 0.02, position.shape), model.lower, model.upper)
            pressure, valid = _touch(rng, len(model.taxels))
            last = controller.target
            if begun:
                step.run(position, last[0], pressure, valid)
            seen = builder.update(number, position[None], last, None if pressure is None else pressure[None],
                                  None if valid is None else valid[None], last_action=action)
            answer = policy.act(seen)
            action = np.clip(np.array(answer, dtype=np.float64), -1.0, 1.0)
            target = controller.step(bundle.period_s, position[None], action)
            if not begun:
                if begun := step.takes(controller.target):
                    step.begin(builder, controller, policy, action)
                continue
            found = step.seen()
            pairs = {**{name: (found[name], seen[name]) for name in bundle.inputs},
                     **{name: (value, policy.extra[name]) for name, value in step.extra.items()},
                     'action': (step.action, answer), 'target': (step.target, target),
                     'score': (np.array(step.score()), ood.score(seen)),
                     'pressure': (np.array(step.worst_kpa()), seen['tactile_tip_pressure'].max(initial=0.0))}
            for name, (ours, theirs) in pairs.items():
                off = float(np.nan_to_num(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0), nan=np.inf).max())
                largest = max(largest, off / TOLERANCE)
                if largest > 1.0:
                    raise BundleError(f'the whole step differs from the numpy path in {name} by {off:.2g}, allowed '
                                      f'{TOLERANCE:g}')
        if not begun:
            raise BundleError(f'the numpy path leads no target into the bounds of the policy in {_STEPS} steps')
    return largest


def _touch(rng: np.random.Generator, cells: int) -> tuple[Float | None, NDArray[np.bool_] | None]:
    """Touch with gaps, at times none at all."""
    if rng.random() < 0.1:
        return None, None
    pressure = rng.uniform(0.0, 1e5, cells) * (rng.random(cells) < 0.7)
    pressure[rng.random(cells) < 0.1] = np.nan
    return pressure, rng.random(cells) > 0.1
