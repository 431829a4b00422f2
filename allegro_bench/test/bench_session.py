"""A made-up profiling session for tests: numbers with a known answer, fed through the real intake."""

import os

import numpy as np
from allegro_bench.config import ProfilerConfig
from allegro_bench.meters.none import NoMeter
from allegro_bench.session import Session
from allegro_description.model import load_hand

MS = 1_000_000
T = 20 * MS
T0 = 1_700_000_000_000_000_000
TORQUE, SLIP = 0.08, 4.5


def feed(session, seconds=60.0, *, stalls=True, seed=0, policy_pid=None):
    """A 50 Hz policy that infers during 6 s episodes; with ``stalls`` one tick in 500 takes 311 ms and skips 15."""
    generator = np.random.default_rng(seed)
    model, n = session.model, round(seconds * 50)
    pid = policy_pid or os.getpid()
    busy_until = 0
    for k in range(n):
        release = T0 + k * T
        t = k * 0.02
        in_episode, number = k % 360 < 300, k // 360
        if k % 50 == 0:
            second(session, T0 + k * T, pid, k)
        if k % 3 == 0:
            touch(session, release, t, in_episode, generator)
        if k % 360 == 0:
            session.episode('started', release, facts(number))
        if k % 360 == 300:
            held = number % 5 != 3
            session.episode('finished' if held else 'dropped', release, facts(number) | {
                'held': str(held).lower(), 'success': str(held).lower(), 'acquired': 'true',
                'dropped_at_s': 'none' if held else '3.2', 'slip_mm': f'{SLIP:g}', 'turn_deg': '3.1',
                'mean_torque_nm': f'{TORQUE:g}', 'p99_tip_force_n': '2.4'})
        if not 50 <= k % 360 < 300 or release < busy_until:
            continue
        start = release + int(generator.gamma(2.0, 60e3))
        finish = start + (311 * MS if stalls and k % 500 == 250 else int(0.4 * MS + generator.gamma(3.0, 0.1e6)))
        busy_until = finish
        session.inference(start, finish, 'onnxruntime')
        session.release(release, finish, str(k))
        session.command(start - int(generator.uniform(0.2, 6.5) * MS), finish + int(0.3 * MS))
    second(session, T0 + n * T, pid, n)
    assert model.fingers
    return session


def facts(number):
    shape = ('box', 'sphere', 'cylinder')[number % 3]
    return {'index': str(number), 'seed': str(1000 + number), 'level': 'L2', 'shape': shape, 'mass_kg': '0.12',
            'grip_class': 'normal'}


def second(session, now, pid, k):
    cpu = k * 0.02 * 0.12
    session.status('grasp_policy: status', now, {
        'pid': str(pid), 'cpu_s': f'{cpu:.3f}', 'policy': 'tactile_hold', 'mode': 'sim', 'late_p99_ms': '0.4',
        'repeated': '3', 'bundle_sha256': 'ab' * 32, 'phase': 'RUN'}, 'running')
    session.status('hand_driver: status', now, {
        'pid': '999999991', 'cpu_s': f'{2 * cpu:.3f}', 'serial': '12345678', 'jitter_max_us': '900.0',
        'on_time_percent': f'{99.5 + 0.4 * np.sin(k / 200):.3f}',
        'loop_jitter_p99_us': f'{180 + 60 * np.sin(k / 90):.1f}', 'rate_hz': '333.3'}, 'active', 'v5_sense_right')
    session.second(now)


def touch(session, now, t, in_episode, generator):
    phase = t % 7.2
    grip = (phase > 0.9) * in_episode
    if session.wants('torque', now):
        effort = 0.11 * grip * (1 + 0.2 * np.sin(3 * t)) * session.model.flexion + generator.normal(0, 0.004, 16)
        session.torque(now, effort)
    if session.wants('pressure', now):
        pressure = np.full(len(session.model.taxels), 0.0)
        for i, taxel in enumerate(session.model.tip_taxels):
            pressure[taxel] = grip * (9000 + 2500 * i) * (1 + 0.3 * np.sin(5 * t + i)) + abs(generator.normal(0, 60))
        session.pressure(now, pressure, np.ones(len(pressure), dtype=bool))


def session(**values):
    return Session(ProfilerConfig(**values), load_hand(), NoMeter('no RAPL counter here'), T0)
