"""Episodes of TactileHold side by side: one control step of many hands at a time, everything but physics in arrays.

A lane holds one episode: plant, touch cells, randomisation, phases and score. Lanes do not know of each other, so an
episode gives the same outcome whatever runs beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from allegro_description.model import HandModel
from allegro_description.simulation.episode import DURATION_S, GRIP_FORCE_N, Episode
from allegro_description.simulation.objects import object_rng
from allegro_description.simulation.plant import Plant
from allegro_description.simulation.rig import Places, Readings, Rig
from allegro_description.simulation.score import EpisodeResult, Judge
from allegro_description.simulation.tactile import TactileBank
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_ai.action import ActionMapper
from allegro_ai.grasp import GraspController, Phase
from allegro_ai.observation import Observation, ObservationBuilder
from allegro_ai.tasks.randomisation import (
    MAX_ACTION_DELAY,
    MAX_SENSE_DELAY,
    POSITION_NOISE_RAD,
    STREAM_NOISE,
    STREAM_TOUCH,
    Randomisation,
)
from allegro_ai.tasks.reward import DROP_REWARD, reward

CONTROL_S = 0.020
PHYSICS_S = 0.004
SUBSTEPS = 5
STEPS = round(DURATION_S / CONTROL_S)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished episode: the judgement, the return of the rewards, and whether the physics broke."""

    result: EpisodeResult
    reward: float
    unstable: bool


class Lanes:
    """``count`` lanes of one hand. Call :meth:`observe` and then :meth:`step`, once each per control step.

    Attributes:
        episode: what each lane runs, or None.
        rig: the physics of all lanes.
        clock: control steps done, (count,).
        facts: of each lane's object: centre of mass (m), extent (m), mass (kg), friction, (count, 8).
        world: tables of what happens to each lane's object, (count, STEPS, width) each.
        state: the last readings of each lane, for privileged observers.
        reward: of the last step of each lane, (count,); only steps under a policy earn.
    """

    def __init__(self, hand: HandModel, count: int, *, randomise: bool = True, threads: int = 1) -> None:
        """Prepare ``count`` empty lanes.

        Args:
            hand: the hand.
            count: number of lanes.
            randomise: draw gains, dynamics, delays, masks, bias and noise per episode; False runs the nominal hand.
            threads: physics threads (0: one per CPU).
        """
        joints, taxels = len(hand.joints), len(hand.taxels)
        self.hand, self.count, self._randomise = hand, count, randomise
        self.rig = Rig(hand, count, threads)
        self.episode: list[Episode | None] = [None] * count
        self.draw: list[Randomisation | None] = [None] * count
        self.clock, self.reward = np.zeros(count, dtype=np.intp), np.zeros(count)
        self.builder = ObservationBuilder(hand, batch=count)
        self.controller = GraspController(hand, ActionMapper(hand), batch=count)
        self.action, self.limit = np.zeros((count, joints)), np.ones(count)
        self.state = Readings(*(np.zeros((count, width)) for width in (
            joints, joints, joints, taxels, len(hand.fingers), 3, 4, 6)))
        self.world = {name: np.zeros((count, STEPS, width)) for name, width in (
            ('gravity', 3), ('force', 3), ('point', 3), ('payload', 1), ('hold', 1))}
        self.facts = np.zeros((count, 8))
        self.judge = Judge(count)
        self._touch = TactileBank(hand, count, CONTROL_S, STEPS + 2)
        self._tare, self._valid = np.zeros((count, taxels)), np.ones((count, taxels), dtype=bool)
        self._bias, self._noise = np.zeros((count, joints)), np.zeros((count, STEPS + 1, joints))
        self._sent = np.zeros((count, MAX_ACTION_DELAY + 1, joints))
        self._seen = np.zeros((count, MAX_SENSE_DELAY + 1, joints))
        self._delay, self._late = np.zeros(count, dtype=np.intp), np.zeros(count, dtype=np.intp)
        self._told = np.zeros(count, dtype=bool)
        self._return = np.zeros(count)
        self._grip = ['normal'] * count
        self._lsb = np.deg2rad(hand.actuation.position_lsb_deg)

    @property
    def running(self) -> NDArray[np.bool_]:
        """Lanes whose hand is under the policy, (count,)."""
        return np.asarray(self.controller.phase == Phase.RUN)

    def start(self, k: int, episode: Episode) -> None:
        """Begin an episode in lane ``k``: the close comes first, ``close_s`` later the policy has the hand."""
        plant = Plant(self.hand, episode.obj, timestep=PHYSICS_S, actuation='position')
        draw = Randomisation.draw(self.hand, episode) if self._randomise else Randomisation.nominal(self.hand)
        draw.apply(plant)
        episode.reset(plant)
        self.rig.place(k, plant)
        self.episode[k], self.draw[k] = episode, draw
        obj = episode.obj
        self.facts[k] = (*obj.com, *obj.extent, obj.mass, obj.friction)
        script = episode.script(times(np.arange(STEPS)))
        for name, table in self.world.items():
            table[k] = getattr(script, name).reshape(STEPS, -1)
        self._grip[k], self.limit[k] = episode.grip_class, GRIP_FORCE_N[episode.grip_class]
        self.builder.set_grip(self._grip)
        self._bias[k], self._delay[k], self._late[k] = draw.bias, draw.delay, draw.sense_delay
        self._valid[k], self._told[k] = draw.valid, draw.gravity_known
        rng = object_rng(episode.seed, episode.object_set, STREAM_NOISE)
        self._noise[k] = rng.uniform(-1.0, 1.0, self._noise.shape[1:]) * (POSITION_NOISE_RAD * self._randomise)
        self._touch.start(k, object_rng(episode.seed, episode.object_set, STREAM_TOUCH))
        which, mine = np.array([k]), np.arange(self.count) == k
        # the driver's tare: what the untouched cells report
        self._tare[k] = self._touch.sense(which, np.zeros((1, len(self.hand.taxels))))[0]
        self.clock[k], self._return[k], self.reward[k], self.action[k] = 0, 0.0, 0.0, 0.0
        self.builder.reset(mine)
        self._take(which, self.rig.read(which))
        self._seen[k] = self._measured(which)
        self.controller.start(Phase.CLOSE, self._observed(), mine)
        self._sent[k] = self.controller.target[k]
        self.judge.start(k, episode)

    def observe(self, which: Places) -> Observation:
        """Observation of every lane, built anew for those of ``which`` (k,); call it once before each step of theirs.

        Rows of lanes that are not in ``which`` mean nothing.
        """
        pressure = np.zeros_like(self._tare)
        pressure[which] = self._touch.sense(which, self.state.taxels[which])
        gravity = np.where(self._told[:, None], self.world['gravity'][np.arange(self.count), self._step()], np.nan)
        return self.builder.update(
            0, self._observed(), self.controller.target, np.maximum(pressure - self._tare, 0.0), self._valid,
            last_action=self.action, gravity=gravity, which=self.deciding(which))

    def step(self, which: Places, action: Array) -> list[tuple[int, Outcome]]:
        """Advance lanes by one control step; returns those that are over, which then are empty.

        Args:
            which: lanes with an episode, (k,).
            action: (count, n_joints); used where the hand is under the policy.
        """
        mask, under_policy = self.deciding(which), self.running
        previous = self.action[which]
        chosen = np.where(under_policy[:, None], action, 0.0)
        self.action = np.where(mask[:, None], chosen, self.action)
        targets = self.controller.step(CONTROL_S, self._observed(), self.action, mask)
        now = {name: table[which, self.clock[which]] for name, table in self.world.items()}
        for k, hold in zip(which.tolist(), now['hold'][:, 0].tolist(), strict=True):
            if hold > 0.0 or self.clock[k] * CONTROL_S < 1.1:
                self._plant(k).hold_object(hold)
        stable = self.drive(which, targets[which], now)
        self.clock[which] += 1
        over = [(int(k), self._failed(int(k))) for k in which[~stable]]
        alive = which[stable]
        if alive.size:
            over += self._assess(alive, under_policy, previous[stable])
        for k, _ in over:
            self.episode[k] = None
        return over

    def deciding(self, which: Places) -> NDArray[np.bool_]:
        """Lanes of ``which`` whose loop has a tick in this step, (count,); for the others only the world goes on."""
        return self._mask(which)

    def drive(self, which: Places, target: Array, now: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Let the hands follow their targets for a control step; returns which of them are still stable, (k,).

        Args:
            which: lanes, (k,).
            target: what their loops ask for, rad, (k, n_joints).
            now: what happens to their objects, rows of ``world``, (k, width) each.
        """
        clock = self.clock[which]
        self._sent[which, clock % self._sent.shape[1]] = target
        due = self._sent[which, (clock - self._delay[which]) % self._sent.shape[1]]
        self.rig.write(which, due, now['gravity'], now['force'], now['point'], now['payload'][:, 0])
        return self.rig.advance(which, SUBSTEPS)

    def close(self) -> None:
        """Stop the physics threads."""
        self.rig.close()

    def _assess(
        self, which: Places, under_policy: NDArray[np.bool_], previous: Array
    ) -> list[tuple[int, Outcome]]:
        state = self.rig.read(which)
        self._take(which, state)
        self._seen[which, self.clock[which] % self._seen.shape[1]] = self._measured(which)
        torque = np.abs(state.torque[:, self.hand.flexion]).mean(axis=1)
        finished = self.judge.update(
            which, times(self.clock[which]), state.xyz, state.quat, torque, state.tips.max(axis=1))
        earned = reward(state, torque, self.judge.slip_m[which], self.judge.turn_rad[which], self.limit[which],
                        self.action[which], previous)
        self.reward[which] = np.where(under_policy[which], earned, 0.0)
        for k, result in finished:
            if result.dropped_at_s is not None:
                self.reward[k] += DROP_REWARD
        self._return[which] += self.reward[which]
        return [(k, Outcome(result, float(self._return[k]), False)) for k, result in finished]

    def _failed(self, k: int) -> Outcome:
        # An episode whose physics broke counts as a failure: it is never left out of a rate.
        nothing = EpisodeResult(False, False, False, None, float('nan'), float('nan'), 0.0, 0.0, 0.0)
        self.reward[k] = DROP_REWARD
        return Outcome(nothing, float(self._return[k]) + DROP_REWARD, True)

    def _plant(self, k: int) -> Plant:
        plant = self.rig.plants[k]
        assert plant is not None
        return plant

    def _mask(self, which: Places) -> NDArray[np.bool_]:
        mask = np.zeros(self.count, dtype=bool)
        mask[which] = True
        return mask

    def _step(self) -> Places:
        return np.minimum(self.clock, STEPS - 1)

    def _take(self, which: Places, state: Readings) -> None:
        for name in Readings.__slots__:
            getattr(self.state, name)[which] = getattr(state, name)

    def _measured(self, which: Places) -> Array:
        """What the encoders say now, rad."""
        counted = np.rint(self.state.position[which] / self._lsb) * self._lsb
        return np.asarray(counted + self._bias[which] + self._noise[which, self.clock[which]])

    def _observed(self) -> Array:
        """What arrives of it, late, for every lane, rad."""
        return np.asarray(self._seen[np.arange(self.count), (self.clock - self._late) % self._seen.shape[1]])


def times(clock: Places) -> Array:
    """Seconds since the start of an episode after so many control steps."""
    return np.asarray(clock, dtype=np.float64) * CONTROL_S
