"""Control interface of the emulator: one JSON object per datagram, one reply each.

``{"id": 1, "op": "status"}`` is answered with ``{"id": 1, "ok": true, …}``; a bad request with
``{"id": 1, "ok": false, "error": "…"}``, and then nothing has changed. This is what a person beside a real hand does:
put in an object, tilt the arm, pull a plug. Host code under test has no need of it.

======================================================= =========================================================
op                                                      what it does
======================================================= =========================================================
status                                                  counters, session, mode, torques, faults, episode
world                                                   object, gravity, tip forces, joints, episode, events
start_episode {seed, level, object_set}                 puts an object in; TactileHold's 6 s clock runs at once
stop_episode                                            aborts it and takes the object away
set_gravity {vector}                                    m/s², palm frame; refused while an episode runs
inject {fault, value, duration_s}                       see :mod:`.fault_table`
clear_faults {fault}                                    ends that one, or all of them
======================================================= =========================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, CommandRefused, ConfigError, UnknownName

from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.seams import Firmware
from allegro_driver.emulator.world import Episodes

LARGEST_REQUEST = 4096
DEFAULTS: dict[str, Any] = {'seed': 0, 'level': 'L1', 'object_set': 'H1'}
MAX_GRAVITY = 100.0


class ControlInterface:
    """Turns request bytes into reply bytes."""

    def __init__(self, firmware: Firmware[Any], episodes: Episodes, faults: FaultSet,
                 server_status: Callable[[], dict[str, Any]]) -> None:
        """Connect to the parts it steers."""
        self._firmware, self._episodes, self._faults, self._server_status = firmware, episodes, faults, server_status
        # op -> (handler, allowed arguments)
        self._ops: Mapping[str, tuple[Callable[[dict[str, Any], float], dict[str, Any]], tuple[str, ...]]] = {
            'status': (self._status, ()),
            'world': (self._world, ()),
            'start_episode': (self._start, tuple(DEFAULTS)),
            'stop_episode': (self._stop, ()),
            'set_gravity': (self._gravity, ('vector',)),
            'inject': (self._inject, ('fault', 'value', 'duration_s')),
            'clear_faults': (self._clear, ('fault',)),
        }

    def handle(self, request: bytes, now: float) -> bytes:
        """Answer one datagram.

        Args:
            request: JSON text.
            now: time for faults that end by themselves, s.
        """
        ident: Any = None
        try:
            message = _parse(request)
            ident = message.get('id')
            op = message.get('op')
            if not isinstance(op, str) or op not in self._ops:
                raise UnknownName('op', str(op), self._ops)
            handler, allowed = self._ops[op]
            arguments = {k: v for k, v in message.items() if k not in ('id', 'op')}
            for name in arguments:
                if name not in allowed:
                    raise UnknownName(f'argument of {op}', name, allowed)
            reply = {'id': ident, 'ok': True, **handler(arguments, now)}
        except AllegroError as error:
            reply = {'id': ident, 'ok': False, 'error': str(error)}
        return json.dumps(reply, allow_nan=False).encode()

    # Operations ----------------------------------------------------------------------------------------------------

    def _status(self, _: dict[str, Any], __: float) -> dict[str, Any]:
        return {
            **self._server_status(), **self._firmware.status(), 'faults': self._faults.active(),
            **{k: v for k, v in self._episodes.view().items() if k in ('episode', 'last_result')},
        }

    def _world(self, _: dict[str, Any], __: float) -> dict[str, Any]:
        world = self._firmware.body.world
        return {
            'gravity_m_s2': world.gravity.tolist(), 'tip_forces_n': world.tip_forces.tolist(),
            'joint_position_rad': world.position.tolist(), 'tactile_pa': world.pressure.tolist(),
            **self._episodes.view(),
        }

    def _start(self, arguments: dict[str, Any], _: float) -> dict[str, Any]:
        values = DEFAULTS | arguments
        seed = values['seed']
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise ConfigError(f'seed is {seed!r}; allowed: a whole number, 0 or more')
        for name in ('level', 'object_set'):
            if not isinstance(values[name], str):
                raise ConfigError(f'{name} is {values[name]!r}; allowed: text')
        return {'index': self._episodes.start(seed, values['level'], values['object_set'])}

    def _stop(self, _: dict[str, Any], __: float) -> dict[str, Any]:
        return {'stopped': self._episodes.stop()}

    def _gravity(self, arguments: dict[str, Any], _: float) -> dict[str, Any]:
        vector = arguments.get('vector')
        if not isinstance(vector, list) or len(vector) != 3 or not all(_is_number(v) for v in vector):
            raise ConfigError(f'vector is {vector!r}; allowed: three numbers up to {MAX_GRAVITY:g} m/s², palm frame')
        value = np.array(vector, dtype=np.float64)
        if float(np.linalg.norm(value)) > MAX_GRAVITY:
            raise ConfigError(f'vector is {vector!r}; allowed: at most {MAX_GRAVITY:g} m/s² long')
        if self._episodes.running:
            raise CommandRefused('the running episode directs gravity; wait for its end or stop_episode first')
        self._firmware.body.world.set_gravity(value)
        return {'gravity_m_s2': self._firmware.body.world.gravity.tolist()}

    def _inject(self, arguments: dict[str, Any], now: float) -> dict[str, Any]:
        value = self._faults.inject(
            str(arguments.get('fault', '')), arguments.get('value'), arguments.get('duration_s'), now)
        return {'fault': arguments['fault'], 'value': value, 'faults': self._faults.active()}

    def _clear(self, arguments: dict[str, Any], _: float) -> dict[str, Any]:
        name = arguments.get('fault')
        self._faults.clear(None if name is None else str(name))
        return {'faults': self._faults.active()}


def _parse(request: bytes) -> dict[str, Any]:
    if len(request) > LARGEST_REQUEST:
        raise ConfigError(f'request of {len(request)} bytes; at most {LARGEST_REQUEST} are allowed')
    try:
        message = json.loads(request)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'request is not JSON: {type(error).__name__}: {error}') from None
    if not isinstance(message, dict):
        raise ConfigError('request is not a JSON object such as {"id": 1, "op": "status"}')
    if not isinstance(message.get('id'), (int, str, type(None))):
        raise ConfigError(f'id is {message["id"]!r}; allowed: a whole number or text')
    return message


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_GRAVITY
