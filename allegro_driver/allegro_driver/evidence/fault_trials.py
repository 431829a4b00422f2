"""One trial: a hand that is held in position, a fault on its wire, and what the driver makes of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.config import from_mapping
from allegro_description.errors import AllegroError, CommandRefused, LinkError
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState, JointCommand

from allegro_driver.config import DriverConfig
from allegro_driver.control.safety import State
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from allegro_driver.hardware.base import Alarm

WATCH_S = {'info_fault': 1.5}
"""How long a fault is watched, s; V4 and Plexus are asked for theirs once a second."""
WATCH_OTHERS_S = 0.6
WATCH_FAULT_S = 0.15
"""A driver in fault is watched for so much longer, s: torque must not follow."""
WORST_S = 0.05
"""Torque must be off this long after the fault could be noticed, s."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one trial.

    Attributes:
        state: of the safety machine, or ``refused`` when the hand was not even opened.
        text: reason as diagnostics show it.
        safe_after_s: fault noticeable to zero torque sent; None where torque was rightly kept.
        objections: what was unsafe, in words; empty when nothing was.
    """

    state: str
    text: str
    safe_after_s: float | None
    objections: tuple[str, ...] = ()


class Watched:
    """Any hardware, with a log of what was noticed and what was sent."""

    def __init__(self, hardware: Any) -> None:
        self._hardware = hardware
        self.sample_ns = self.alarm_ns = self.noticed_ns = 0
        self.sent: list[tuple[int, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hardware, name)

    def read(self, timeout_s: float) -> HandState:
        """Read, and remember when the sample came."""
        state: HandState = self._hardware.read(timeout_s)
        self.sample_ns = state.stamp_ns
        return state

    def take_alarms(self) -> tuple[Alarm, ...]:
        """Take alarms, and remember when the first one came."""
        alarms: tuple[Alarm, ...] = self._hardware.take_alarms()
        if alarms and not self.alarm_ns:
            self.alarm_ns = self._hardware.link.arrival_ns
        return alarms

    def write(self, effort: Array) -> None:
        """Send torques, and remember how large they were."""
        with self._log(float(np.abs(effort).max())):
            self._hardware.write(effort)

    def halt(self) -> None:
        """Stop; a link that is down does not take it."""
        self.noticed_ns = self.noticed_ns or self.sample_ns
        with self._log(0.0):
            self._hardware.halt()

    @contextlib.contextmanager
    def _log(self, largest: float) -> Iterator[None]:
        try:
            yield
        finally:
            self.sent.append((time.monotonic_ns(), largest))


class Bench:
    """One emulated hand in a process of its own, on one wire, for many trials."""

    def __init__(self, model: HandModel, link: str) -> None:
        """Start it.

        Raises:
            LinkError: it does not start.
        """
        self.model, self.link = model, link
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'allegro_driver.emulator', '--model', model.model, '--side', model.side, '--wire',
             'udp' if link == 'udp' else 'slcan', '--port', '0', '--control-port', '0', '--physics', 'simple'],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LinkError(f'the emulated {model.name} did not start: {self._process.communicate()[1].strip()}')
        ready: dict[str, Any] = json.loads(line)
        self.address = str(ready['address']) if link == 'can' else f'127.0.0.1:{ready["wire_port"]}:0'
        self.control = EmulatorClient(port=int(ready['control_port']), timeout_s=2.0)

    def close(self) -> None:
        """End it."""
        self.control.close()
        self._process.terminate()
        self._process.communicate(timeout=10)

    def trial(self, fault: str, value: object, *, before: bool) -> Outcome | None:
        """Run one trial; None where this hand cannot have this fault.

        Args:
            fault: name of the fault.
            value: its value, None for the default.
            before: whether it is there when the hand is opened, or comes while it is held.
        """
        hand, hardware, config = self._driver(confirmed=True)
        try:
            if before:
                self._inject(fault, value)
            hand.start()
            hand.enable()
            if not before:
                self._hold(hand, 0.15)
                self._inject(fault, value)
            self._hold(hand, WATCH_S.get(fault, WATCH_OTHERS_S))
            return self._judge(hand, hardware, config)
        except NotPossible:
            return None
        except AllegroError as error:
            return Outcome('refused', str(error), None, self._torque_left(hand))
        finally:
            self.control.request('clear_faults')
            hand.close()

    def unconfirmed(self) -> Outcome:
        """Ask for torque as somebody does who has confirmed nothing of what no source settles about this hand."""
        hand, _, _ = self._driver(confirmed=False)
        try:
            hand.start()
            hand.enable()
            self._hold(hand, WATCH_OTHERS_S)
            status = hand.status()
            return Outcome(
                status.state.value, status.reason, None, ('torque is given unconfirmed', *self._torque_left(hand)))
        except AllegroError as error:
            moved = any(self.control.request('status')['torque'])
            return Outcome('refused', str(error), None,
                           (('torque although it was refused',) if moved else ()) + self._torque_left(hand))
        finally:
            hand.close()

    def _driver(self, *, confirmed: bool) -> tuple[Hand, Watched, DriverConfig]:
        """A driver that is not started yet, and a wire without faults."""
        self.control.request('clear_faults')
        config = from_mapping(DriverConfig, {
            'model': self.model.model, 'side': self.model.side, 'link': self.link, 'address': self.address,
            'answer_timeout_s': 0.3, 'guardian': False,
            'confirmed': ','.join(self.model.confirm) if confirmed else ''})
        hardware = Watched(make_hardware(self.model, config))
        return Hand(hardware, self.model, config), hardware, config

    def _inject(self, fault: str, value: object) -> None:
        try:
            self.control.request('inject', fault=fault, **({} if value is None else {'value': value}))
        except CommandRefused as error:
            if 'cannot' in str(error) or 'unknown' in str(error) or 'known:' in str(error):
                raise NotPossible(str(error)) from None
            raise

    def _hold(self, hand: Hand, seconds: float) -> None:
        """Command the present pose, slightly closed, at 50 Hz, as a policy would; not much longer than to a fault."""
        model, end = self.model, time.monotonic() + seconds
        target = np.clip(hand.target() + 0.03, model.lower, model.upper) if hand.last is not None else None
        faulty = False
        while time.monotonic() < end:
            if hand.state is State.FAULT and not faulty:
                faulty, end = True, min(end, time.monotonic() + WATCH_FAULT_S)
            last = hand.last
            if target is not None and last is not None:
                with contextlib.suppress(CommandRefused):
                    hand.command(JointCommand(last.stamp_ns, position=target))
            time.sleep(0.02)

    def _judge(self, hand: Hand, hardware: Watched, config: DriverConfig) -> Outcome:
        status, objections = hand.status(), []
        safe_after = None
        if status.state is State.FAULT:
            silent = status.reason.startswith('no sample')
            last = hardware.noticed_ns  # the newest sample when the fault began
            patience_ns = round(config.patience_s(hardware.period_s) * 1e9)
            noticeable = last + patience_ns if silent else hardware.alarm_ns or last
            zeros = [t for t, largest in hardware.sent if t >= noticeable and largest == 0.0]
            late = [t for t, largest in hardware.sent if zeros and t > zeros[0] and largest > 0.0]
            safe_after = (zeros[0] - noticeable) / 1e9 if zeros else float('inf')
            if safe_after > WORST_S:
                objections.append(f'zero torque only {safe_after * 1e3:.0f} ms after it could be noticed')
            if late:
                objections.append('torque after zero torque')
        objections += self._torque_left(hand)
        return Outcome(status.state.value, status.reason, safe_after, tuple(objections))

    def _torque_left(self, hand: Hand) -> tuple[str, ...]:
        """End the driver and see whether the hand is left with torque, once its wire carries again."""
        status = self.control.request('status')
        beyond = int(status.get('beyond_clamp', 0))
        self.control.request('clear_faults')
        time.sleep(0.05)
        hand.close()
        time.sleep(0.1)
        torque = self.control.request('status')['torque']
        largest = max(map(abs, torque))
        found = [f'the hand is left with torque ({largest:.0f} {self.model.actuation.unit})'] if largest else []
        if beyond:
            found.append(f'{beyond} commands beyond the clamp')
        return tuple(found)


class NotPossible(Exception):
    """This hand or wire cannot have this fault."""
