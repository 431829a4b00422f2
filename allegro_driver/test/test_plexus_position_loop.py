"""How a Plexus gets from one mode into the other: motors off, waits, bounds and targets first, motors on last."""

import numpy as np
import pytest
from allegro_description.model import load_hand
from allegro_driver.protocol.can_commands import ConfigMode, ServoOff, ServoOn, SetPose, Torque
from allegro_driver.protocol.plexus_can_hand import PlexusCanHand
from allegro_driver.protocol.plexus_can_session import PlexusCanSession
from allegro_driver.protocol.plexus_messages import POSITION_MODE, TORQUE_MODE

MODEL = load_hand('plexus', 'right')
POSE = np.linspace(0.0, 0.3, 16)


@pytest.fixture
def session():
    return PlexusCanSession(MODEL)


def words(frames):
    hand = PlexusCanHand(MODEL, device=0)
    return [hand.decode(frame) for frame in frames]


@pytest.mark.parametrize('table', ['newer', 'older'])
def test_into_the_position_mode(table):
    session = PlexusCanSession(MODEL, {**MODEL.protocol['can'], 'mode_table': table})
    assert set(words(session.position_mode(True))) == {ServoOff()}
    said = [words(session.targets(POSE)) for _ in range(8)]
    flat = [word for cycle in said for word in cycle]
    on = flat.index(ServoOn())
    first_mode = flat.index(ConfigMode(POSITION_MODE[table]))
    assert first_mode < on
    for finger in range(4):  # where to go and how hard are known before the motors come on, in a cycle of their own
        assert any(isinstance(c, SetPose) and c.finger == finger for c in flat[:on])
        bounds = [c for c in flat[first_mode:on] if isinstance(c, Torque) and c.finger == finger]
        assert all(list(c.counts) == MODEL.clamp[4 * finger:4 * finger + 4].tolist() for c in bounds)
        assert bounds
    assert next(k for k, cycle in enumerate(said) if ServoOn() in cycle) - next(
        k for k, cycle in enumerate(said) if ConfigMode(POSITION_MODE[table]) in cycle) >= 2
    assert not any(isinstance(c, (ConfigMode, ServoOn, ServoOff)) for c in said[-1])
    hand = PlexusCanHand(MODEL, device=0)
    there = np.concatenate([hand.targets(c) for c in said[-1] if isinstance(c, SetPose)])
    np.testing.assert_allclose(there, POSE, atol=0.0016)


def test_out_of_it_no_torque_until_the_mode_is_torque(session):
    session.position_mode(True)
    session.targets(POSE)
    begin = words(session.position_mode(False))
    assert begin[0] == ServoOff()
    said = [words(session.torque(np.full(16, 0.1))) for _ in range(20)]
    mode = next(k for k, cycle in enumerate(said) if ConfigMode(TORQUE_MODE['newer']) in cycle)
    on = next(k for k, cycle in enumerate(said) if ServoOn() in cycle)
    assert 0.1 <= mode * 0.01 < on * 0.01 < 0.2  # the vendor waits 100 ms
    pushing = [k for k, cycle in enumerate(said) if any(isinstance(c, Torque) and any(c.counts) for c in cycle)]
    assert pushing[0] > on
    assert pushing == list(range(pushing[0], 20))


@pytest.mark.parametrize('end', ['quiet', 'stream'])
def test_an_end_in_the_middle_leaves_no_step_behind(session, end):
    session.position_mode(True)
    session.targets(POSE)
    getattr(session, end)()
    assert all(isinstance(c, Torque) for c in words(session.torque(np.zeros(16))))
