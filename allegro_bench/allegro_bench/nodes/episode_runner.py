"""``episode_runner``: puts a grasping hand through episodes, one after the other, and says how each one went."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, ConfigError, LinkTimeout
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.convert import by_name, to_ns
from allegro_description.ros.interfaces import EPISODE, JOINT_STATES
from allegro_description.ros.node import PlainNode, run
from allegro_driver.hand import NO_FAULT
from std_srvs.srv import Trigger

from allegro_bench.config import RunnerConfig
from allegro_bench.episodes import ENDS, line, merge, tally, value_of

POLL_S = 0.02
FIRST_RAMP_S = 6.0
"""The first way to the start pose may be a long one."""

RETRY_S, GRASP_PATIENCE_S = 0.1, 2.0
"""A grasp is refused while joint states are late for a moment; the episode's clock runs meanwhile."""

Script = Generator[None, None, None]


class EpisodeRunner(PlainNode):
    """Runs a script that a timer advances, so that one executor thread serves everything."""

    def __init__(self) -> None:
        super().__init__('episode_runner', RunnerConfig)
        config = self.config
        model = prefixed(load_hand(config.model, config.side), config.prefix)
        self._model, self._start_pose = model, model.pose(config.start_pose)
        self.rows: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._position: Any = None
        self._began = time.monotonic()
        self._doors = {
            what: self.create_client(Trigger, f'{node}/{what}')
            for node, what in ((config.policy_node, 'release'), (config.policy_node, 'grasp'),
                               (config.control_node, 'start_episode'))
        }
        self._clear = self.create_client(Trigger, f'{config.driver_node}/clear_fault')
        self.create_subscription(EPISODE.type, EPISODE.name, self._on_episode, EPISODE.subscribe_qos)
        self.create_subscription(JOINT_STATES.type, JOINT_STATES.name, self._on_state, JOINT_STATES.subscribe_qos)
        self._script = self._run()
        self.create_timer(POLL_S, self._advance, clock=self.steady_clock)

    # The script --------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        if self.exit_code is not None:
            return
        try:
            next(self._script)
        except StopIteration:
            self.request_exit(code=0)
        except AllegroError as error:
            print(f'episode_runner: {error}', file=sys.stderr, flush=True)
            self.request_exit(code=2)

    def _run(self) -> Script:
        config = self.config
        for what, client in self._doors.items():
            yield from self._until(
                client.service_is_ready, config.service_timeout_s,
                f'no service {client.srv_name}: {_remedy(what)}')
        yield from self._until(lambda: self._position is not None, config.service_timeout_s,
                               'no joint_states: is hand_driver running in this namespace and ROS_DOMAIN_ID?')
        yield from self._call('release', config.service_timeout_s)
        yield from self._go_to_start(FIRST_RAMP_S)
        self._began = time.monotonic()
        while self._another():
            if not self._at_start():
                yield from self._recover()
            self._events.clear()
            at_start = self._at_start()
            yield from self._call('start_episode', config.episode_timeout_s)
            yield from self._call('grasp', GRASP_PATIENCE_S)
            yield from self._until(self._ended, config.episode_timeout_s,
                                   f'the episode did not end within {config.episode_timeout_s:g} s')
            self._tell({**merge(self._events)[-1], 'at_start_pose': at_start})
            yield from self._call('release', config.service_timeout_s)
            yield from self._go_to_start(config.pause_s)
        self._say({'event': 'done', **tally(self.rows)}, f'{len(self.rows)} episodes, '
                  f'{tally(self.rows)["held"]} held')

    def _another(self) -> bool:
        if self.config.episodes:
            return len(self.rows) < int(self.config.episodes)
        return bool(time.monotonic() - self._began + self.config.episode_s <= self.config.duration_s)

    def _go_to_start(self, patience_s: float) -> Script:
        end = time.monotonic() + patience_s
        while not self._at_start() and time.monotonic() < end:
            yield

    def _recover(self) -> Script:
        """Where the hand did not come to the start pose: clear a fault of its driver, as an operator would.

        A machine that is busy starting everything can hold the driver up for longer than its watchdog bears; without
        this, every episode after that would be lost to a hand without torque.
        """
        if not self._clear.service_is_ready():
            return
        future = self._clear.call_async(Trigger.Request())
        yield from self._until(future.done, self.config.service_timeout_s, f'{self._clear.srv_name} does not answer')
        answer = future.result()
        if answer.success and NO_FAULT in answer.message:
            return
        self._say({'event': 'fault', 'cleared': answer.success, 'text': answer.message},
                  f'driver in fault; clear_fault: {answer.message}')
        if answer.success:
            yield from self._call('release', self.config.service_timeout_s)
            yield from self._go_to_start(FIRST_RAMP_S)

    def _until(self, condition: Callable[[], object], patience_s: float, otherwise: str) -> Script:
        end = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > end:
                raise LinkTimeout(otherwise)
            yield

    def _call(self, what: str, patience_s: float) -> Script:
        """Call until it is not refused: nodes become active, and states become fresh, a little after they appear."""
        client = self._doors[what]
        end = time.monotonic() + patience_s
        while True:
            future = client.call_async(Trigger.Request())
            yield from self._until(future.done, self.config.service_timeout_s, f'{client.srv_name} does not answer')
            answer = future.result()
            if answer.success:
                return
            if time.monotonic() > end:
                raise ConfigError(f'{client.srv_name} refused: {answer.message}')
            yield from self._pause(RETRY_S)

    def _pause(self, seconds: float) -> Script:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield

    # What arrives ------------------------------------------------------------------------------------------------

    def _on_episode(self, message: Any) -> None:
        for status in message.status:
            facts = {pair.key: value_of(pair.value) for pair in status.values}
            stamp_s = to_ns(message.header.stamp) * 1e-9
            self._events.append({**facts, 'event': status.message, 'time_s': stamp_s})

    def _on_state(self, message: Any) -> None:
        try:
            self._position = by_name(self._model, message.name, message.position, 'joint_states position')
        except AllegroError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=10.0)

    def _ended(self) -> bool:
        return any(e['event'] in ENDS for e in self._events)

    def _at_start(self) -> bool:
        if self._position is None:
            return False
        return bool(np.abs(self._position - self._start_pose).max() <= self.config.start_tolerance_rad)

    # What is said and written ------------------------------------------------------------------------------------

    def _tell(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        number = len(self.rows)
        self._say({'event': 'episode', 'number': number, **row}, line(number, row))

    def _say(self, facts: dict[str, Any], text: str) -> None:
        print(json.dumps(facts) if self.config.json else text, flush=True)

    def finish(self) -> None:
        """Write ``episodes.json``."""
        if not self.config.output_dir:
            return
        path = Path(self.config.output_dir).expanduser() / 'episodes.json'
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({'episodes': self.rows, **tally(self.rows)}, indent=1) + '\n', encoding='utf-8')
        except OSError as error:
            print(f'episode_runner: cannot write {path}: {error}', file=sys.stderr, flush=True)


def _remedy(what: str) -> str:
    if what == 'start_episode':
        return 'start episode_control (episodes need the emulated hand), or name it with control_node'
    return 'start grasp_policy and see that it is active, or name it with policy_node'


def main(args: list[str] | None = None) -> int:
    """Run ``episode_runner``: 0 when all episodes are through, 2 with one sentence when they cannot be run."""
    return run(EpisodeRunner, args)


if __name__ == '__main__':
    sys.exit(main())
