"""Calibration files, and a hand seen through one."""

import dataclasses

import numpy as np
import pytest
import yaml
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.state import HandState, JointCommand, frozen
from allegro_driver.calibration import (
    OFFSET_LIMIT_RAD,
    Calibration,
    calibration_folder,
    calibration_path,
    calibration_text,
    load_calibration,
    parse_calibration,
    plain_calibration,
    save_calibration,
    tightened,
)
from allegro_driver.config import DriverConfig
from allegro_driver.control.trajectory import move_to
from allegro_driver.hand import Hand
from allegro_driver.hardware import make_hardware
from allegro_driver.hardware.base import Identity
from allegro_driver.hardware.calibrated import CalibratedHardware
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_hand import WireHand, wait_until

MODEL = load_hand()
COUNT = len(MODEL.joints)
SERIAL = '5SBR0001'

signs = st.lists(st.sampled_from([1.0, -1.0]), min_size=COUNT, max_size=COUNT).map(frozen)
offsets = st.lists(st.floats(-3.9, 3.9), min_size=COUNT, max_size=COUNT).map(frozen)
angles = st.lists(st.floats(-3.0, 3.0), min_size=COUNT, max_size=COUNT).map(frozen)


def calibration(sign=None, offset=None, lower=None, upper=None):
    plain = plain_calibration(MODEL, SERIAL)
    changed = {'sign': sign, 'offset': offset, 'lower': lower, 'upper': upper}
    return dataclasses.replace(plain, **{k: frozen(v) for k, v in changed.items() if v is not None})


class Encoders:
    """A hand of numbers: what it reads and what it was told."""

    period_s, skipped, onboard_position = 0.003, 0, True

    def __init__(self, position, serial=SERIAL):
        self.position, self.identity, self.told, self.closed = frozen(position), Identity(serial, 'right'), [], 0

    def open(self):
        return self.identity

    def read(self, timeout_s):
        return HandState(1, 1, self.position, frozen(np.full(COUNT, 0.5)), frozen(np.full(COUNT, 20.0)))

    def write(self, effort):
        self.told.append(effort)

    def write_targets(self, position):
        self.told.append(position)

    def close(self):
        self.closed += 1


def seen_through(made, encoders, folder):
    if made is not None:
        save_calibration(folder, made, MODEL)
    hardware = CalibratedHardware(encoders, MODEL, folder)
    hardware.open()
    return hardware


# The file


@settings(max_examples=30)
@given(sign=signs, offset=offsets)
def test_a_file_says_what_was_written(sign, offset):
    made = calibration(sign, np.round(offset, 6))
    read = parse_calibration(calibration_text(made, MODEL), MODEL, SERIAL, 'x')
    for name in ('sign', 'offset', 'lower', 'upper'):
        np.testing.assert_allclose(getattr(read, name), getattr(made, name), atol=1e-9)
    assert (read.serial, read.model, read.date) == (SERIAL, MODEL.name, made.date)


def document():
    return yaml.safe_load(calibration_text(plain_calibration(MODEL, SERIAL), MODEL))


@pytest.mark.parametrize(('change', 'says'), [
    (lambda d: d.update(version=2), 'version 2'),
    (lambda d: d.update(version=True), 'version True'),
    (lambda d: d.update(serial='5SBR0002'), "serial '5SBR0002', but the hand is 5SBR0001"),
    (lambda d: d.update(model='v4_right'), "'v4_right', but the hand is v5_sense_right"),
    (lambda d: d.update(date='yesterday'), 'yesterday'),
    (lambda d: d.update(colour='red'), "unknown entries ['colour']"),
    (lambda d: d.pop('date'), "lacks ['date']"),
    (lambda d: d['joints'].pop('joint_3_0'), "lacks ['joint_3_0']"),
    (lambda d: d['joints'].update(joint_16_0={'sign': 1, 'offset': 0}), "unknown entries ['joint_16_0']"),
    (lambda d: d['joints'].update(joint_3_0=[1, 0]), 'joint_3_0 must be a table'),
    (lambda d: d['joints']['joint_3_0'].update(sign=0), 'sign 0; allowed: 1, -1'),
    (lambda d: d['joints']['joint_3_0'].update(sign=True), 'sign True'),
    (lambda d: d['joints']['joint_3_0'].update(offset=float('nan')), 'offset nan'),
    (lambda d: d['joints']['joint_3_0'].update(offset='0.1'), "offset '0.1'"),
    (lambda d: d['joints']['joint_3_0'].update(offset=10**400), 'joint_3_0 has offset 1000'),
    (lambda d: d['joints']['joint_3_0'].update(offset=OFFSET_LIMIT_RAD + 0.01), 'joint_3_0 has offset 4.01'),
    (lambda d: d['joints']['joint_3_0'].update(limit=[-0.2, 1.0]), "within the model's -0.1"),
    (lambda d: d['joints']['joint_3_0'].update(limit=[1.0, 0.5]), 'limit [1.0, 0.5]'),
    (lambda d: d['joints']['joint_3_0'].update(limit=[0.5, 0.51]), 'at least 0.05'),
    (lambda d: d['joints']['joint_3_0'].update(limit=[0.5, float('inf')]), 'limit [0.5, inf]'),
])
def test_a_wrong_file_is_refused_with_a_sentence(change, says):
    wrong = document()
    change(wrong)
    with pytest.raises(ConfigError) as caught:
        parse_calibration(yaml.safe_dump(wrong), MODEL, SERIAL, 'hand.yaml')
    assert says in str(caught.value)
    assert 'hand.yaml' in str(caught.value)


@pytest.mark.parametrize('text', [
    '', '[]', '3', '{', 'a: &a [*a]', '? [1]\n: 2', '!!python/object/apply:os.getcwd []', '\x00', '- ' * 500 + 'x'])
def test_what_is_no_calibration_is_refused(text):
    with pytest.raises(ConfigError):
        parse_calibration(text, MODEL, SERIAL, 'x')


def test_a_joint_that_is_written_twice_is_refused():
    text = calibration_text(plain_calibration(MODEL, SERIAL), MODEL) + '  joint_0_0: {sign: -1, offset: 1.0}\n'
    with pytest.raises(ConfigError, match='written twice: joint_0_0'):
        parse_calibration(text, MODEL, SERIAL, 'x')


@given(text=st.text(max_size=200))
@settings(max_examples=50)
def test_any_text_is_read_or_refused(text):
    whole = calibration_text(plain_calibration(MODEL, SERIAL), MODEL)
    for mutated in (text, whole.replace('sign: 1', text, 1), whole + text):
        try:
            read = parse_calibration(mutated, MODEL, SERIAL, 'x')
        except ConfigError:
            continue
        assert isinstance(read, Calibration)


def test_saving_keeps_the_older_file_and_leaves_no_litter(tmp_path):
    folder = tmp_path / 'deep' / 'er'
    first, second = calibration(), calibration(offset=np.full(COUNT, 0.25))
    path, backup = save_calibration(folder, first, MODEL)
    assert (path, backup) == (folder / f'{SERIAL}.yaml', None)
    olds = set()
    for _ in range(3):
        before = path.read_text()
        again, backup = save_calibration(folder, second, MODEL)
        assert again == path
        assert backup is not None
        assert backup.read_text() == before
        olds.add(backup)
    assert len(olds) == 3
    assert {p.name for p in folder.iterdir()} == {path.name, *(o.name for o in olds)}
    np.testing.assert_allclose(load_calibration(folder, MODEL, SERIAL).offset, 0.25)


def test_nothing_changes_where_it_cannot_be_written_or_is_not_allowed(tmp_path):
    path, _ = save_calibration(tmp_path, calibration(), MODEL)
    before = path.read_text()
    with pytest.raises(ConfigError, match='offset 5'):
        save_calibration(tmp_path, calibration(offset=np.full(COUNT, 5.0)), MODEL)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ConfigError, match='cannot write'):
        save_calibration(path / 'file', calibration(), MODEL)


@pytest.mark.parametrize('serial', ['', '../../etc/passwd', 'a/b', '.hidden', 'x' * 33, 'ab\x00', 'ü'])
def test_a_serial_number_from_the_wire_never_leaves_the_folder(serial, tmp_path):
    assert load_calibration(tmp_path, MODEL, serial) is None
    with pytest.raises(ConfigError, match='serial number'):
        calibration_path(tmp_path, serial)


def test_the_folder_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    assert calibration_folder() == tmp_path / 'allegro' / 'calibration'
    monkeypatch.setenv('XDG_CONFIG_HOME', 'relative')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert calibration_folder() == tmp_path / '.config' / 'allegro' / 'calibration'
    assert calibration_folder('~/mine') == tmp_path / 'mine'


def test_an_unreadable_file_is_a_sentence(tmp_path):
    (tmp_path / f'{SERIAL}.yaml').write_bytes(b'\xff\xfe\xff')
    with pytest.raises(ConfigError, match='cannot read'):
        load_calibration(tmp_path, MODEL, SERIAL)


def test_limits_tighten_the_model_and_its_poses():
    upper = MODEL.upper - 0.5 * MODEL.flexion
    hand = tightened(MODEL, calibration(upper=upper))
    np.testing.assert_allclose(hand.upper, upper)
    np.testing.assert_allclose(hand.lower, MODEL.lower)
    assert all((pose <= upper).all() for pose in hand.poses.values())
    np.testing.assert_array_equal(hand.per_nm, MODEL.per_nm)


# The hand behind it


@settings(max_examples=50)
@given(sign=signs, offset=offsets, position=angles)
def test_encoders_to_angles_and_back(sign, offset, position):
    made = calibration(sign, offset)
    np.testing.assert_allclose(made.encoders(made.angles(position)), position, atol=1e-9)
    np.testing.assert_allclose(made.angles(made.encoders(position)), position, atol=1e-9)


@settings(max_examples=10)
@given(sign=signs, offset=offsets)
def test_power_and_meaning_are_kept(sign, offset, tmp_path_factory):
    """Torque times speed is the same on both sides, and a target is where the hand then reads to be."""
    hand = Encoders(np.zeros(COUNT))
    hardware = seen_through(calibration(sign, np.round(offset, 6)), hand, tmp_path_factory.mktemp('files'))
    state, effort = hardware.read(0.1), np.linspace(-0.1, 0.1, COUNT)
    hardware.write(effort)
    np.testing.assert_allclose(effort * state.velocity, hand.told[-1] * 0.5)
    np.testing.assert_allclose(effort * state.current_ma, hand.told[-1] * 20.0)
    target = np.clip(np.linspace(-0.05, 1.0, COUNT), MODEL.lower, MODEL.upper)
    hardware.write_targets(target)
    hand.position = hand.told[-1]
    np.testing.assert_allclose(hardware.read(0.1).position, target, atol=1e-9)


def test_without_a_file_everything_passes_untouched(tmp_path):
    hand = Encoders(MODEL.pose('home'))
    hardware = seen_through(None, hand, tmp_path)
    assert hardware.read(0.1).position is hand.position
    effort = np.full(COUNT, 0.01)
    hardware.write(effort)
    assert hand.told[-1] is effort
    assert hardware.identity.warnings == ()
    assert hardware.model is MODEL


def test_a_tightened_limit_is_kept_whatever_is_asked(tmp_path):
    k = MODEL.joint_index('joint_2_0')
    upper = MODEL.upper.copy()
    upper[k] = 1.0
    at_limit = MODEL.pose('home').copy()
    at_limit[k] = 1.0
    hand = Encoders(at_limit)
    hardware = seen_through(calibration(upper=upper), hand, tmp_path)
    assert hardware.model.joints[k].upper == 1.0
    hardware.read(0.1)
    effort = np.full(COUNT, 0.1)
    hardware.write(effort)
    assert hand.told[-1][k] == 0.0
    np.testing.assert_array_equal(np.delete(hand.told[-1], k), np.delete(effort, k))
    hardware.write(-effort)
    assert hand.told[-1][k] == -0.1
    hardware.write_targets(MODEL.upper)
    assert hand.told[-1][k] == 1.0


def test_a_reading_outside_the_range_is_a_warning_with_the_remedy(tmp_path):
    off = MODEL.pose('home').copy()
    off[13] += 1.6
    warnings = seen_through(None, Encoders(off), tmp_path).identity.warnings
    assert len(warnings) == 1
    for word in ('joint_13_0 reads 1.95', 'no calibration file', 'allegro-hand calibrate'):
        assert word in warnings[0]
    fix = np.zeros(COUNT)
    fix[13] = -1.6
    hardware = seen_through(calibration(offset=fix), Encoders(off), tmp_path)
    assert hardware.identity.warnings == ()
    assert 'calibrated 20' in hardware.identity.version
    save_calibration(tmp_path, calibration(offset=-fix), MODEL)
    assert 'is wrong' in CalibratedHardware(Encoders(off), MODEL, tmp_path).open().warnings[0]


def test_a_file_of_another_hand_closes_it_again(tmp_path):
    save_calibration(tmp_path, calibration(), MODEL)
    (tmp_path / f'{SERIAL}.yaml').rename(tmp_path / '5SBR0002.yaml')
    hand = Encoders(MODEL.pose('home'), '5SBR0002')
    with pytest.raises(ConfigError, match='5SBR0001'):
        CalibratedHardware(hand, MODEL, tmp_path).open()
    assert hand.closed == 1


def test_another_hand_on_the_same_wire_gets_its_own_file(tmp_path):
    shifted = np.full(COUNT, 0.05)
    save_calibration(tmp_path, calibration(offset=shifted), MODEL)
    hand = Encoders(MODEL.pose('home'))
    hardware = CalibratedHardware(hand, MODEL, tmp_path)
    hardware.open()
    np.testing.assert_allclose(hardware.read(0.1).position, MODEL.pose('home') + shifted)
    hardware.close()
    hand.identity = Identity('5SBR0009', 'right')
    hardware.open()
    np.testing.assert_array_equal(hardware.read(0.1).position, MODEL.pose('home'))


def test_a_hand_with_a_lost_zero_is_driven_through_its_file(tmp_path):
    """On the wire: encoders 1.47 rad off at a thumb joint, healed, and moved to a pose."""
    fix = np.zeros(COUNT)
    fix[13] = -1.47
    save_calibration(tmp_path, calibration(offset=fix), MODEL)
    config = DriverConfig(
        stale_after_s=0.3, hold_after_s=1.0, realtime='off', guardian=False, calibration_dir=str(tmp_path))
    with WireHand(MODEL) as wire:
        wire.position = MODEL.pose('zero') - fix
        config = dataclasses.replace(config, address=wire.address)
        with Hand(make_hardware(MODEL, config), MODEL, config) as hand:
            assert hand.hardware.identity.warnings == ()
            assert wait_until(lambda: hand.last is not None)
            np.testing.assert_allclose(hand.last.position, MODEL.pose('zero'), atol=0.01)
            hand.enable()
            goal = MODEL.pose('zero').copy()
            goal[13] = 0.4
            hand.command(move_to(MODEL, hand.target(), goal, 3.0))
            assert wait_until(lambda: abs(wire.position[13] - (0.4 + 1.47)) < 0.03)


def test_the_controller_keeps_to_the_tightened_limits(tmp_path):
    k = MODEL.joint_index('joint_2_0')
    upper = MODEL.upper.copy()
    upper[k] = 1.0
    save_calibration(tmp_path, calibration(upper=upper), MODEL)
    with WireHand(MODEL) as wire:
        config = DriverConfig(address=wire.address, calibration_dir=str(tmp_path), guardian=False)
        with Hand(make_hardware(MODEL, config), MODEL, config) as hand:
            assert wait_until(lambda: hand.last is not None)
            hand.enable()
            hand.command(JointCommand(0, position=MODEL.upper))
            assert wait_until(lambda: hand.target()[k] == 1.0)
            assert hand.target()[k] <= 1.0
            assert hand.model.upper[k] == 1.0
