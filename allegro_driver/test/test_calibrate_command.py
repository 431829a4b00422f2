"""The guided calibration: what it finds, what it refuses, and what it leaves behind."""

import argparse
import contextlib
import dataclasses
import os
import pty
import subprocess
import sys

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, UnknownName
from allegro_description.model import available_hands, load_hand
from allegro_driver.calibration import (
    calibration_text,
    load_calibration,
    parse_calibration,
    plain_calibration,
    save_calibration,
)
from allegro_driver.cli import main, parser
from allegro_driver.commands import calibrate, firmware_zero
from allegro_driver.config import DriverConfig
from allegro_driver.emulator.background import running_emulator
from allegro_driver.hardware import make_hardware
from allegro_driver.protocol.v5b2 import CalibrationDone
from allegro_driver.protocol.v5b2_packets import MessageType
from allegro_driver.zero_finding import Place, chosen_joints, find_zeros, placements, still, with_zeros, zero_from_ends
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_hand import WireHand, wait_until

MODEL = load_hand()
COUNT = len(MODEL.joints)
RANGES = np.array([joint.urdf_range for joint in MODEL.joints])
SERIAL = '5SBR0001'


class Person:
    """Moves the joints of a hand as it is asked to, and answers."""

    def __init__(self, wire, steps, *, sign=None, offset=None, replies=None):
        self.wire, self.steps, self.replies = wire, list(steps), replies or {}
        self.sign = np.ones(COUNT) if sign is None else sign
        self.offset = np.zeros(COUNT) if offset is None else offset  # angle = sign * encoder + offset
        self.angles = MODEL.pose('home').copy()
        self.questions = []
        self.move()

    def move(self):
        self.wire.position = self.sign * (self.angles - self.offset)

    def ask(self, question, live):
        self.questions.append(question)
        assert 'joint_' in live()
        if 'serial number' in question:
            return self.replies.get('serial', SERIAL)
        number = int(question.split()[1])
        for k, place in self.steps[number - 1].places.items():
            self.angles[k] = MODEL.pose('zero')[k] if place is Place.POSE else RANGES[k, int(place is Place.UPPER)]
        self.move()
        return self.replies.get(number, '')


def options(wire, folder, *words):
    return parser().parse_args(['calibrate', wire.address, '--calibration-dir', str(folder), '--seconds', '0.05',
                                '--delay', '0.02', '--stale', '0.5', *words])


@pytest.fixture
def wire():
    with WireHand(MODEL) as hand:
        yield hand


def lost_zero(value=-1.47):
    offset = np.zeros(COUNT)
    offset[13] = value
    return offset


# The pure part


@settings(max_examples=60)
@given(k=st.integers(0, COUNT - 1), offset=st.floats(-3.0, 3.0), backwards=st.booleans(), felt=st.floats(-0.1, 0.1))
def test_ends_give_back_the_zero_that_was_lost(k, offset, backwards, felt):
    """For any joint, zero and direction: within what the ends were missed by."""
    joint, sign = MODEL.joints[k], -1.0 if backwards else 1.0
    lower, upper = RANGES[k]
    encoder = [sign * (angle - offset) for angle in (lower + felt, upper - felt / 2)]
    found = zero_from_ends(joint, *encoder, signs=True)
    assert not found.problem
    assert found.sign == sign
    tolerance = abs(felt) if backwards or abs(offset) > 0.2 else 0.12 + abs(felt)
    assert abs(found.offset - offset) <= tolerance + 1e-9


def test_a_travel_that_is_too_short_or_the_wrong_way_round_is_a_problem():
    bend, spread = MODEL.joints[2], MODEL.joints[0]
    assert 'both ends' in zero_from_ends(bend, 0.0, 0.5).problem
    assert '--signs' in zero_from_ends(bend, *bend.urdf_range[::-1]).problem
    assert zero_from_ends(bend, *bend.urdf_range[::-1], signs=True).sign == -1
    # Which end of a joint that does not bend came first, nobody can be sure of: no sign follows from it.
    assert zero_from_ends(spread, *spread.urdf_range[::-1]).sign == 1


def test_a_zero_within_what_can_be_felt_is_left_alone():
    joint = MODEL.joints[2]
    lower, upper = joint.urdf_range
    assert zero_from_ends(joint, lower + 0.1, upper + 0.1).offset == 0.0
    assert zero_from_ends(joint, lower + 0.1, upper + 0.1, keep_rad=0.05).offset == pytest.approx(-0.1)


@pytest.mark.parametrize('name', available_hands())
def test_every_joint_of_every_hand_is_brought_to_both_of_its_ends_once(name):
    """And a hand in order, brought there, keeps the zeros it has."""
    model = load_hand(*name.rsplit('_', 1))
    count = len(model.joints)
    places = [item for step in placements(model, range(count)) for item in step.places.items()]
    assert sorted(places, key=lambda item: (item[0], item[1].value)) == [
        (k, end) for k in range(count) for end in (Place.LOWER, Place.UPPER)]
    readings = {(k, end): model.joints[k].urdf_range[int(end is Place.UPPER)] for k, end in places}
    before = plain_calibration(model, SERIAL)
    zeros = find_zeros(model, readings, before, signs=True)
    assert all((zero.sign, zero.offset, zero.problem) == (1.0, 0.0, '') for zero in zeros.values())
    after = with_zeros(model, before, zeros, before.date, limits=True)
    assert not after.tightens(model).any(), 'the stops of the description lie beyond its limits'
    again = parse_calibration(calibration_text(after, model), model, SERIAL, 'x')
    np.testing.assert_array_equal(again.offset, 0.0)


def test_only_what_was_asked_for_is_measured():
    assert {k for step in placements(MODEL, [13]) for k in step.places} == {13}
    assert chosen_joints(MODEL, ['joint_13_0']) == (13,)
    with pytest.raises(UnknownName, match='joint_13_0'):
        chosen_joints(MODEL, ['joint_13'])


def test_an_outlier_moves_neither_median_nor_stillness():
    samples = np.full((100, COUNT), 0.5)
    samples[7] = 100.0
    middle, moved = still(samples)
    np.testing.assert_allclose(middle, 0.5)
    assert moved.max() < 1e-9
    assert still(np.linspace(0, 1, 50)[:, None])[1][0] > 0.5


def test_what_was_not_measured_well_stays_as_it_was():
    before = plain_calibration(MODEL, SERIAL)
    found = {(13, Place.LOWER): 1.2, (13, Place.UPPER): 3.24, (2, Place.LOWER): 0.0, (2, Place.UPPER): 0.1,
             (5, Place.LOWER): 9.0}
    zeros = find_zeros(MODEL, found, before)
    assert set(zeros) == {2, 13}
    after = with_zeros(MODEL, before, zeros, before.date, limits=True)
    assert set(np.flatnonzero(after.offset)) == {13}
    np.testing.assert_array_equal(after.upper, MODEL.upper)


# The command


def test_the_whole_dialogue_heals_a_hand(wire, tmp_path, capsys):
    """Every joint, one zero 1.47 rad off: the file brings the driver's angles to where the joints are."""
    person = Person(wire, placements(MODEL, range(COUNT)), offset=lost_zero())
    assert calibrate.guide(options(wire, tmp_path), MODEL, person) == 0
    made = load_calibration(tmp_path, MODEL, SERIAL)
    np.testing.assert_allclose(made.offset, lost_zero(), atol=0.01)
    text = capsys.readouterr().out
    assert 'joint_13_0' in text
    assert 'changed' in text
    wire.settle()
    assert all(not torque.any() for torque in wire.torques()), 'torque while a person has hands in the fingers'
    person.angles = MODEL.pose('home')
    person.move()
    hardware = make_hardware(MODEL, DriverConfig(
        address=wire.address, guardian=False, calibration_dir=str(tmp_path)))
    try:
        assert hardware.open().warnings == ()
        np.testing.assert_allclose(hardware.read(1.0).position, MODEL.pose('home'), atol=0.02)
    finally:
        hardware.close()


@pytest.mark.parametrize(('name', 'words'), [('v5_sense', ()), ('v5_b', ('--model', 'v5_b'))])
def test_the_emulated_hand_with_the_lost_zero_of_a_real_one_is_healed(name, words, tmp_path):
    """The fault of the fact sheet, over UDP and over CAN: found at both ends of the joint, gone with the file."""
    model = load_hand(name)

    class Mover:
        def ask(self, question, live):
            assert 'joint_13_0' in live()
            if 'serial number' in question:
                return emulator.firmware.serial
            position = model.pose('zero').copy()
            place = steps[int(question.split()[1]) - 1].places[13]
            position[13] = model.joints[13].urdf_range[int(place is Place.UPPER)]
            emulator.firmware.body.world._position = position
            return ''

    steps, bent = placements(model, [13]), model.pose('home').copy()
    bent[13] = 0.8
    with running_emulator(['zero_offset=joint_13_0:1.47'], model=name) as emulator:
        chosen = parser().parse_args([
            'calibrate', emulator.address, *words, '--calibration-dir', str(tmp_path), '--seconds', '0.05', '--delay',
            '0.05', '--stale', '0.5', '--joints', 'joint_13_0'])
        config = DriverConfig(
            model=name, link=next(iter(model.protocol)), address=emulator.address, guardian=False,
            calibration_dir=str(tmp_path))
        for healed in (False, True):
            if healed:
                assert calibrate.guide(chosen, model, Mover()) == 0
            emulator.firmware.body.world._position = bent.copy()
            hardware = make_hardware(model, config)
            try:
                warnings = ' '.join(hardware.open().warnings)
                assert ('joint_13_0 reads' in warnings) is not healed
                off = hardware.read(1.0).position - bent
            finally:
                hardware.close()
            np.testing.assert_allclose(off, lost_zero(0.0 if healed else 1.47), atol=0.02)
        assert not emulator.firmware.body.torque.any()


def test_an_encoder_that_counts_backwards_and_tighter_travel(wire, tmp_path):
    sign = np.ones(COUNT)
    sign[14] = -1.0
    person = Person(wire, placements(MODEL, [14]), sign=sign)
    chosen = options(wire, tmp_path, '--joints', 'joint_14_0', '--signs', '--limits')
    before, RANGES[14, 1] = RANGES[14, 1], RANGES[14, 1] - 0.2
    try:
        assert calibrate.guide(chosen, MODEL, person) == 0
    finally:
        RANGES[14, 1] = before
    made = load_calibration(tmp_path, MODEL, SERIAL)
    assert made.sign[14] == -1
    assert made.sign.sum() == COUNT - 2
    assert made.upper[14] - made.lower[14] == pytest.approx(MODEL.upper[14] - MODEL.lower[14] - 0.2, abs=0.11)


def test_a_reference_pose_sets_every_zero_and_keeps_signs(wire, tmp_path):
    offset = np.linspace(-0.3, 0.3, COUNT)
    person = Person(wire, placements(MODEL, range(COUNT), 'zero'), offset=offset)
    assert calibrate.guide(options(wire, tmp_path, '--reference', 'zero'), MODEL, person) == 0
    np.testing.assert_allclose(load_calibration(tmp_path, MODEL, SERIAL).offset, offset, atol=0.005)


@pytest.mark.parametrize(('replies', 'says'), [
    ({'serial': 'y'}, "'y' is not the serial number"),
    ({'serial': ''}, 'is not the serial number'),
    ({'serial': SERIAL[:-1]}, 'is not the serial number'),
    ({1: 'q'}, 'nothing was written'),
    ({1: 's', 2: 's'}, 'no joint was measured'),
    ({1: 'what'}, '3 attempts'),
])
def test_nothing_is_written_by_anything_less_than_the_serial_number(wire, tmp_path, replies, says):
    person = Person(wire, placements(MODEL, [13]), offset=lost_zero(), replies=replies)
    with pytest.raises(CommandRefused, match=says):
        calibrate.guide(options(wire, tmp_path, '--joints', 'joint_13_0'), MODEL, person)
    assert not list(tmp_path.iterdir())


def test_a_joint_that_is_not_held_is_measured_again(wire, tmp_path):
    class Restless(Person):
        def ask(self, question, live):
            answer = super().ask(question, live)
            self.wire.current = np.zeros(COUNT)
            if len(self.questions) == 1:
                self.wire.current[13] = 150.0  # 1.5 rad/s
            return answer

    steps = placements(MODEL, [13])
    person = Restless(wire, steps, offset=lost_zero())
    assert calibrate.guide(options(wire, tmp_path, '--joints', 'joint_13_0'), MODEL, person) == 0
    assert len(person.questions) == len(steps) + 2
    np.testing.assert_allclose(load_calibration(tmp_path, MODEL, SERIAL).offset, lost_zero(), atol=0.01)


def test_a_second_calibration_keeps_the_other_joints(wire, tmp_path):
    first = plain_calibration(MODEL, SERIAL)
    offset = first.offset.copy()
    offset[3] = 0.2
    save_calibration(tmp_path, dataclasses.replace(first, offset=offset), MODEL)
    person = Person(wire, placements(MODEL, [13]), offset=lost_zero())
    assert calibrate.guide(options(wire, tmp_path, '--joints', 'joint_13_0'), MODEL, person) == 0
    expected = lost_zero()
    expected[3] = 0.2
    np.testing.assert_allclose(load_calibration(tmp_path, MODEL, SERIAL).offset, expected, atol=0.01)
    assert len(list(tmp_path.glob('*.old'))) == 1


def test_a_hand_without_serial_number_is_refused(tmp_path):
    with WireHand(MODEL, serial='') as wire, pytest.raises(Exception, match='serial number'):
        calibrate.guide(options(wire, tmp_path), MODEL, Person(wire, []))


def test_without_a_terminal_the_answers_must_be_given(wire, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'stdin', open(os.devnull))  # noqa: SIM115
    assert main(['calibrate', wire.address]) == 2
    assert '--answers' in capsys.readouterr().err
    assert not wire.heard


def test_answers_from_a_file_and_their_end(wire, tmp_path, capsys):
    wire.position = np.append(MODEL.pose('zero')[:13], [1.47, 0, 0])
    answers = tmp_path / 'answers'
    answers.write_text(f'\n{SERIAL}\n')
    words = ['calibrate', wire.address, '--calibration-dir', str(tmp_path), '--answers', str(answers),
             '--reference', 'zero', '--joints', 'joint_13_0', '--seconds', '0.05', '--delay', '0', '--stale', '0.5']
    assert main(words) == 0
    np.testing.assert_allclose(load_calibration(tmp_path, MODEL, SERIAL).offset, lost_zero(), atol=0.005)
    answers.write_text('\n')
    assert main(words) == 2
    assert 'no answer is left' in capsys.readouterr().err


def test_a_person_at_a_terminal_sees_live_readings(wire, tmp_path):
    """The real program on a pseudo-terminal: readings are refreshed until Enter."""
    host, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-m', 'allegro_driver', 'calibrate', wire.address, '--calibration-dir', str(tmp_path),
         '--reference', 'zero', '--joints', 'joint_13_0', '--seconds', '0.05', '--delay', '0', '--stale', '0.5'],
        stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True)
    os.close(terminal)
    os.set_blocking(host, False)
    seen = b''

    def shows(text):
        nonlocal seen
        with contextlib.suppress(OSError):
            seen += os.read(host, 65536)
        return text in seen

    try:
        wire.position = MODEL.pose('zero').copy()
        assert wait_until(lambda: shows(b'joint_13_0 0.00'), 15.0), seen
        wire.position[13] = 1.23
        assert wait_until(lambda: shows(b'joint_13_0 1.23'), 15.0), seen
        os.write(host, b'\n')
        assert wait_until(lambda: shows(b'Type the serial number'), 15.0), seen
        os.write(host, SERIAL.encode() + b'\n')
        assert wait_until(lambda: shows(b'written: '), 15.0), seen
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(host)
    assert load_calibration(tmp_path, MODEL, SERIAL).offset[13] == pytest.approx(-1.23, abs=0.005)


# The firmware's own


def calibrated_wire(wire):
    """Let the wire hand obey the request."""
    hear = wire._hear

    def obey(packet, sender):
        hear(packet, sender)
        if packet.type is MessageType.CALIBRATE:
            wire.position = np.zeros(COUNT)
            wire.send(wire.codec.answer(CalibrationDone(), packet.sequence, 0))

    wire._hear = obey


def firmware(wire, answer):
    class Typist:
        def ask(self, question, live):
            assert 'serial number' in question
            assert 'joint_15_0' in live()
            return answer

    return firmware_zero.run(argparse.Namespace(link='', address=wire.address, timeout=0.5), MODEL, Typist())


def test_the_firmware_is_told_once_and_only_for_the_typed_serial_number(wire, capsys):
    calibrated_wire(wire)
    with pytest.raises(CommandRefused, match='nothing was written'):
        firmware(wire, 'yes')
    assert MessageType.CALIBRATE not in wire.kinds()
    assert firmware(wire, SERIAL) == 0
    assert wire.kinds().count(MessageType.CALIBRATE) == 1
    text = capsys.readouterr().out
    assert 'CANNOT BE UNDONE' in text
    assert 'joint_2_0 0.00' in text
    wire.settle()
    assert wire.ends_with_zero()
    assert all(not torque.any() for torque in wire.torques())


def test_a_silent_firmware_is_not_told_twice(wire, capsys, monkeypatch):
    monkeypatch.setattr(firmware_zero, '_DONE_S', 0.2)
    assert firmware(wire, SERIAL) == 2
    assert wire.kinds().count(MessageType.CALIBRATE) == 1
    assert 'did not confirm' in capsys.readouterr().out
