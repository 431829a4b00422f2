"""A bag as a source of observations: what the joints and the touch cells said at each control tick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel

LEAST = 2
"""Ticks of a recording that can be measured with."""


def observations_of(source: str, model: HandModel, rate_hz: float, scratch: Path) -> str:
    """The file with recorded observations that a user named: an .npz as it is, a bag as a new .npz.

    At each tick stands the newest joint state and the newest touch; ticks before the first of either are left out.

    Args:
        source: .npz, or a bag of this suite's topics.
        model: the hand that it has to be of.
        rate_hz: control rate.
        scratch: where the new file goes.

    Raises:
        ConfigError: no such file, a bag without joint states or touch, or of another hand.
    """
    path = Path(source)
    if not path.exists():
        raise ConfigError(f'--observations {source}: there is no such file; give an .npz, a bag, or synthetic')
    if path.suffix == '.npz':
        return source
    from allegro_bench.bags.recording import read_recording

    recording = read_recording(path)
    tracks = {name: recording.tracks.get(name) for name in ('joint_states', 'touch')}
    widths = {'joint_states': len(model.joints), 'touch': len(model.taxels)}
    for name, track in tracks.items():
        found = 0 if track is None or not len(track) else track.values.shape[1]
        if found != widths[name]:
            raise ConfigError(f'{source}: {name} has {found} values, {model.name} has {widths[name]}; record '
                              'joint_states and tactile/points of that hand')
    joints, touch = tracks['joint_states'], tracks['touch']
    assert joints is not None
    assert touch is not None
    first = max(int(joints.received_ns[0]), int(touch.received_ns[0]))
    last = min(int(joints.received_ns[-1]), int(touch.received_ns[-1]))
    ticks = np.arange(first, last + 1, round(1e9 / rate_hz))
    rows = [np.searchsorted(track.received_ns, ticks, side='right') - 1 for track in (joints, touch)]
    position, pressure, valid = joints.values[rows[0]], touch.values[rows[1]], touch.valid[rows[1]]
    known = np.isfinite(position).all(axis=1)
    if known.sum() < LEAST:
        raise ConfigError(f'{source}: {int(known.sum())} ticks with joint angles and touch; needed are {LEAST}')
    made = scratch / 'observations.npz'
    np.savez(made, position=position[known], pressure=np.where(valid, pressure, 0.0)[known], valid=valid[known])
    return str(made)
