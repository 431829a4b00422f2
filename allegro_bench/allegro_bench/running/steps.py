"""What happens in one tick, inside the measuring process: the deployed loop, or a policy on ready observations.

Observations never repeat exactly, so that a backend which remembers its answers gains nothing; they are laid out in the
idle time before the release, as they would arrive from other threads on a robot.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from allegro_ai.backends import Backend
from allegro_ai.bundle import Bundle
from allegro_ai.golden import random_observations
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import GraspLoop, JointSample, TouchSample
from allegro_ai.policy import GraphPolicy
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

from allegro_bench.running.workload import SYNTHETIC, Workload

Array32 = NDArray[np.float32]

ROWS = 512
"""Different observations of a source; beyond that they return with another small offset each time."""
OFFSET = 1e-5
"""That offset: far below what a sensor resolves, far above the last bit."""
RAMP_TICKS = 100_000
"""A grasp that has not reached RUN after so many ticks never will."""


class Probe:
    """An engine as the policy sees it, with the stamps of its last call and what went in and came out.

    :attr:`run` is what a backend's ``run`` is. It is a plain function over a list, because on a machine that slept
    between two ticks every instruction costs several times what it costs back to back.

    Attributes:
        last: of the last call: begin and end (ns), inputs, outputs.
    """

    faithful = True

    def __init__(self, engine: Backend, clock: Callable[[], int]) -> None:
        """Wrap a loaded engine."""
        self.engine, self._clock = engine, clock
        self.name, self.precisions = engine.name, engine.precisions
        self.last: list[Any] = [0, 0, {}, {}]
        self.run = self._stamped()

    def _stamped(self) -> Callable[[Mapping[str, Array32]], dict[str, Array32]]:
        call, clock, last = self.engine.run, self._clock, self.last

        def run(inputs: Mapping[str, Array32]) -> dict[str, Array32]:
            began = clock()
            found = call(inputs)
            ended = clock()
            last[:] = began, ended, inputs, found
            return found

        return run

    def exchange(self, engine: Backend) -> Backend:
        """Put another engine behind the policy; returns the one before."""
        before, self.engine = self.engine, engine
        self.last[:] = 0, 0, {}, {}
        self.run = self._stamped()
        return before

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


class Step(Protocol):
    """One tick's work and what surrounds it in the idle time."""

    def begin(self, seed: int) -> None:
        """Start anew with the observations of a seed."""

    def before(self, k: int) -> None:
        """Lay out the observation of tick k."""

    def __call__(self, k: int) -> None:
        """Tick k."""

    @property
    def held(self) -> str:
        """Why the loop stopped calling the policy; '' while it does not."""


class ActStep:
    """``policy.act`` on observations that lie ready: history and recurrent state included, sensors and targets not."""

    held = ''

    def __init__(self, bundle: Bundle, policy: GraphPolicy, chosen: Workload) -> None:
        """Prepare."""
        self._bundle, self._policy, self._chosen = bundle, policy, chosen
        self._rows: dict[str, Array32] = {}
        self._now: dict[str, Array32] = {}
        self._first = policy.inputs[0]
        self._count = 1
        self.action: Any = None

    def begin(self, seed: int) -> None:
        """See :class:`Step`."""
        self._rows = observations(self._bundle, self._policy, self._chosen, seed)
        self._count = len(self._rows[self._first])
        self._policy.reset()

    def observation(self, row: int, offset: float) -> dict[str, Array32]:
        """Row of the source as new arrays, batch 1, the first term moved by ``offset``."""
        i = row % self._count
        found = {name: values[i:i + 1].copy() for name, values in self._rows.items()}
        found[self._first] += np.float32(offset)
        return found

    def before(self, k: int) -> None:
        """See :class:`Step`."""
        self._now = self.observation(k, OFFSET * (k // self._count))

    def __call__(self, k: int) -> None:
        """See :class:`Step`."""
        self.action = np.array(self._policy.act(self._now), dtype=np.float64)


class LoopStep:
    """The deployed loop in RUN: checks, observation, policy, limits and targets, from measured arrays.

    Its limits on slowness and on distance from the training data are lifted, and nothing else: a benchmark measures
    slow backends too, and synthetic observations are no training data.
    """

    def __init__(self, bundle: Bundle, policy: GraphPolicy, chosen: Workload, clock: Callable[[], int]) -> None:
        """Prepare in IDLE."""
        contract = copy.deepcopy(dict(bundle.contract))
        contract['runtime'] |= {'latency_budget_ms': 1e6, 'rate_hz': chosen.rate_hz}
        contract['safety'] |= {'ood_warn': 1e6, 'ood_stop': 1e6, 'max_tip_kpa': 1e6}
        self._bundle, self._policy = replace(bundle, contract=contract), policy
        self._chosen, self._clock = chosen, clock
        self._virtual = 0
        self._running = False
        self.held = ''
        self._loop = GraspLoop(self._bundle, policy, self._time)
        self._position = np.zeros((1, len(bundle.model.joints)))
        self._pressure = np.zeros((1, len(bundle.model.taxels)))
        self._valid = np.ones((1, len(bundle.model.taxels)), dtype=bool)
        self._joint = self._position[0]
        self._cells, self._known = self._pressure[0], self._valid[0]

    def _time(self) -> int:
        return self._clock() if self._running else self._virtual

    def begin(self, seed: int) -> None:
        """See :class:`Step`; the phases before RUN pass in virtual time.

        Raises:
            ConfigError: the loop does not reach RUN with these observations.
        """
        self._position, self._pressure, self._valid = measurements(self._bundle, self._chosen, seed)
        self._running, self.held = False, ''
        self._virtual = self._clock() - RAMP_TICKS * self._chosen.period_ns
        self._loop.abandon()
        self._loop.request('grasp')
        for k in range(RAMP_TICKS):
            self._virtual += self._chosen.period_ns
            self.before(k)
            tick = self._loop.tick(JointSample(self._virtual, self._joint),
                                   TouchSample(self._virtual, self._cells, self._known))
            if tick.phase == Phase.RUN:
                break
            if tick.phase == Phase.HOLD:
                raise ConfigError(f'{self._bundle.name} does not run on these observations: {self._loop.reason}')
        else:
            raise ConfigError(f'{self._bundle.name} does not reach the phase RUN within {RAMP_TICKS} ticks')
        self._running = True

    def before(self, k: int) -> None:
        """See :class:`Step`."""
        row = k % len(self._position)
        self._joint = self._position[row] + OFFSET * ((k // len(self._position)) % 1000)
        self._cells, self._known = self._pressure[row].copy(), self._valid[row]

    def __call__(self, k: int) -> None:
        """See :class:`Step`."""
        now = self._clock()
        tick = self._loop.tick(JointSample(now, self._joint), TouchSample(now, self._cells, self._known))
        if tick.action is None and not self.held:
            self.held = '; '.join(tick.events) or f'no inference in phase {Phase(tick.phase).name}'


def step(bundle: Bundle, policy: GraphPolicy, chosen: Workload, clock: Callable[[], int]) -> ActStep | LoopStep:
    """The step that a workload asks for."""
    return LoopStep(bundle, policy, chosen, clock) if chosen.whole else ActStep(bundle, policy, chosen)


def source_of(chosen: Workload, seed: int) -> str:
    """The file that holds the observations; '' if they are made from the seed, here and now."""
    if chosen.source != SYNTHETIC:
        return chosen.source
    return f'{chosen.ready}/{seed}.npz' if chosen.ready else ''


def recorded(source: str) -> dict[str, NDArray[Any]]:
    """Arrays of a file of observations.

    ``position`` (n, joints) rad, ``pressure`` (n, taxels) Pa and ``valid`` (n, taxels), in canonical order; or, for
    policies on ready observations, ``input/<term>`` (n, …).

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with np.load(source, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f'{source} cannot be read as recorded observations: {error}; it has to be an .npz '
                          'with position, pressure and valid, or with input/<term>') from error


def observations(bundle: Bundle, policy: GraphPolicy, chosen: Workload, seed: int) -> dict[str, Array32]:
    """Ready observations, each term (n, …), float32.

    Raises:
        ConfigError: a recorded source lacks a term.
    """
    source = source_of(chosen, seed)
    if source:
        arrays = recorded(source)
        lacking = [name for name in policy.inputs if f'input/{name}' not in arrays]
        if lacking:
            raise ConfigError(f'{source} holds no input/{lacking[0]}, which {bundle.name} reads')
        return {name: np.asarray(arrays[f'input/{name}'], dtype=np.float32) for name in policy.inputs}
    if bundle.workload:
        rng = np.random.default_rng(seed)
        shapes = {e['name']: tuple(int(n) for n in e['shape']) for e in bundle.contract['inputs']}
        return {name: rng.standard_normal((ROWS, *shapes[name])).astype(np.float32) for name in policy.inputs}
    steps = random_observations(bundle.model, bundle.observation_spec, 8, ROWS // 8, seed)
    return {name: np.concatenate([one[name] for one in steps]) for name in policy.inputs}


def measurements(bundle: Bundle, chosen: Workload, seed: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Joint angles (n, joints) rad, pressures (n, taxels) Pa and their validity, for the deployed loop.

    Raises:
        ConfigError: a recorded source lacks one of them, or has another shape.
    """
    model = bundle.model
    joints, cells = len(model.joints), len(model.taxels)
    source = source_of(chosen, seed)
    if not source:
        rng = np.random.default_rng(seed)
        middle = np.array(bundle.contract['safety']['start_pose'])
        walk = np.cumsum(rng.normal(0.0, 0.01, (ROWS, joints)), axis=0)
        walk -= np.linspace(0.0, 1.0, ROWS)[:, None] * walk[-1]  # back to where it began: it is repeated
        position = np.clip(middle + walk, model.lower, model.upper - 0.02)
        return position, rng.uniform(0.0, 2e4, (ROWS, cells)), rng.random((ROWS, cells)) > 0.02
    arrays = recorded(source)
    shapes = {'position': joints, 'pressure': cells, 'valid': cells}
    n = len(arrays.get('position', ()))
    for name, width in shapes.items():
        if name not in arrays or arrays[name].shape != (n, width) or n == 0:
            found = arrays[name].shape if name in arrays else 'nothing'
            raise ConfigError(f'{source}: {name} is {found}, needed is (n, {width}) for {model.name}')
    return arrays['position'], arrays['pressure'], arrays['valid'].astype(bool)
