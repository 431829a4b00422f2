"""Checks between a sound bundle and a moving hand: is this machine fast enough, is the driver the right one?"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from allegro_description.errors import BundleError, CommandRefused

from allegro_ai import golden
from allegro_ai.bundle import Bundle
from allegro_ai.contract import check_controller
from allegro_ai.policy import Policy

DRIVER_PARAMETERS = ('model', 'side', 'control_mode', 'torque_scale', 'max_target_speed', 'address')
"""What the node asks the driver for."""

_PATIENCE_S, _PAUSE_S = 6.0, 0.2
"""While nine processes start on two cores, a millisecond policy is preempted for ten: measure again for a while."""


def warm_up(bundle: Bundle, policy: Policy, count: int) -> float:
    """Run ``count`` inferences on golden inputs and hold their time to the budget.

    Returns:
        99th percentile of the inference time, ms: of the first round within the budget, for at most six seconds,
        because a machine that is busy starting is no property of the policy.

    Raises:
        BundleError: every round exceeds ``runtime.latency_budget_ms``.
    """
    arrays = bundle.arrays(golden.FILE)
    inputs = [{name: arrays[f'input/{name}'][i:i + 1, 0] for name in bundle.inputs}
              for i in range(min(64, len(arrays['output'])))]
    budget = float(bundle.contract['runtime']['latency_budget_ms'])
    best = np.inf
    end = time.monotonic() + _PATIENCE_S
    while True:
        times = []
        for number in range(count):
            began = time.perf_counter()
            policy.act(inputs[number % len(inputs)])
            times.append((time.perf_counter() - began) * 1e3)
        best = min(best, float(np.percentile(times, 99)))
        if best <= budget or time.monotonic() > end:
            break
        time.sleep(_PAUSE_S)
    policy.reset()
    if best > budget:
        raise BundleError(f'inference takes {best:.2f} ms (99th percentile of {count}) on this machine, the budget of '
                          f'{bundle.name} is {budget:g} ms; choose another backend or a lighter policy')
    return best


def check_driver(bundle: Bundle, mode: str, values: Mapping[str, Any]) -> None:
    """Does the running driver do what the policy was trained with, and is it the kind of hand that ``mode`` says?

    Args:
        bundle: the policy.
        mode: ``sim`` or ``live``.
        values: parameters of the driver, see :data:`DRIVER_PARAMETERS`.

    Raises:
        CommandRefused: a parameter is missing, it is another hand, another control law is in use, targets are slowed
            below the policy's rate, or ``sim`` meets a hand that is not on this machine.
        BundleError: the torque limit in use is too far from the one of training.
    """
    missing = [name for name in DRIVER_PARAMETERS if values.get(name) is None]
    if missing:
        raise CommandRefused(f'the driver does not tell its {", ".join(missing)}; start the driver of this suite, or '
                             "switch the check off with driver:='' if you know what it does")
    model = bundle.model
    if f'{values["model"]}_{values["side"]}' != model.name:
        raise CommandRefused(f'the driver moves {values["model"]}_{values["side"]}, the policy was loaded for '
                             f'{model.name}; start both with the same model and side')
    if values['control_mode'] != 'host':
        raise CommandRefused(f'control_mode of the driver is {values["control_mode"]}: the gains in use are those of '
                             'the hand, not the ones the policy was trained with; set control_mode to host')
    torque = model.torque_limit * float(values['torque_scale'])
    check_controller(bundle.contract, model.kp, model.kd, torque, 'running driver')
    needed = float(bundle.contract['action']['rate_limit_rad_s'])
    if float(values['max_target_speed']) < needed:
        raise CommandRefused(f'the driver follows targets at {values["max_target_speed"]:g} rad/s at most, the policy '
                             f'was trained with {needed:g}; raise max_target_speed of the driver')
    if mode == 'sim' and not _is_local(str(values['address'])):
        where = values['address'] or 'the factory address of the hand'
        raise CommandRefused(f'mode is sim, but the driver talks to {where}, which is no emulator on this machine; '
                             'say mode:=live to command a real hand')


def _is_local(address: str) -> bool:
    """Loopback, a CAN bus inside a process, or a pseudo-terminal: places where no real hand can be."""
    host, _, rest = address.partition(':')
    if host in ('virtual', 'slcan'):
        return host == 'virtual' or os.path.realpath(rest.partition('#')[0]).startswith('/dev/pts/')
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
