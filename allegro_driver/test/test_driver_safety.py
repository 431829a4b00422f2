"""The safety machine, pair by pair, and what must hold whatever happens."""

import itertools

import numpy as np
import pytest
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_driver.control.safety import (
    FAULT_EVENTS,
    TORQUE_STATES,
    TRANSITIONS,
    CommandWatchdog,
    Event,
    Safety,
    State,
    Thermometer,
)
from hypothesis import given
from hypothesis import strategies as st

E, S = Event, State
# Written out independently of the table under test: ordinary events only.
EXPECTED = {
    (S.OFF, E.ENABLE): S.HOLD, (S.OFF, E.DISABLE): S.OFF, (S.OFF, E.COMMAND): S.OFF, (S.OFF, E.FREE_MOTION): S.OFF,
    (S.OFF, E.COMMAND_STALE): S.OFF, (S.OFF, E.COMMAND_LOST): S.OFF, (S.OFF, E.CLEAR_FAULT): S.OFF,
    (S.HOLD, E.ENABLE): S.HOLD, (S.HOLD, E.DISABLE): S.OFF, (S.HOLD, E.COMMAND): S.ACTIVE,
    (S.HOLD, E.FREE_MOTION): S.FREE, (S.HOLD, E.COMMAND_STALE): S.HOLD, (S.HOLD, E.COMMAND_LOST): S.RELAXED,
    (S.HOLD, E.CLEAR_FAULT): S.HOLD,
    (S.ACTIVE, E.ENABLE): S.ACTIVE, (S.ACTIVE, E.DISABLE): S.OFF, (S.ACTIVE, E.COMMAND): S.ACTIVE,
    (S.ACTIVE, E.FREE_MOTION): S.FREE, (S.ACTIVE, E.COMMAND_STALE): S.HOLD, (S.ACTIVE, E.COMMAND_LOST): S.RELAXED,
    (S.ACTIVE, E.CLEAR_FAULT): S.ACTIVE,
    (S.FREE, E.ENABLE): S.HOLD, (S.FREE, E.DISABLE): S.OFF, (S.FREE, E.COMMAND): S.ACTIVE,
    (S.FREE, E.FREE_MOTION): S.FREE, (S.FREE, E.COMMAND_STALE): S.FREE, (S.FREE, E.COMMAND_LOST): S.RELAXED,
    (S.FREE, E.CLEAR_FAULT): S.FREE,
    (S.RELAXED, E.ENABLE): S.HOLD, (S.RELAXED, E.DISABLE): S.OFF, (S.RELAXED, E.COMMAND): S.ACTIVE,
    (S.RELAXED, E.FREE_MOTION): S.FREE, (S.RELAXED, E.COMMAND_STALE): S.RELAXED,
    (S.RELAXED, E.COMMAND_LOST): S.RELAXED, (S.RELAXED, E.CLEAR_FAULT): S.RELAXED,
    (S.FAULT, E.ENABLE): S.FAULT, (S.FAULT, E.DISABLE): S.FAULT, (S.FAULT, E.COMMAND): S.FAULT,
    (S.FAULT, E.FREE_MOTION): S.FAULT, (S.FAULT, E.COMMAND_STALE): S.FAULT, (S.FAULT, E.COMMAND_LOST): S.FAULT,
    (S.FAULT, E.CLEAR_FAULT): S.OFF,
}
# States in which current may flow, and events that must stop it from anywhere: written out, too.
MOVING = {S.HOLD, S.ACTIVE, S.FREE}
ALARMING = {
    E.FEEDBACK_STALE, E.FEEDBACK_IMPLAUSIBLE, E.LINK_ERROR, E.MOTOR_ERROR, E.OVERHEATED, E.INTERNAL_ERROR,
}
PATHS = {
    S.OFF: [], S.HOLD: [E.ENABLE], S.ACTIVE: [E.ENABLE, E.COMMAND], S.FREE: [E.ENABLE, E.FREE_MOTION],
    S.RELAXED: [E.ENABLE, E.COMMAND_LOST], S.FAULT: [E.MOTOR_ERROR],
}


def in_state(state):
    safety = Safety()
    for event in PATHS[state]:
        safety.handle(event)
    assert safety.state is state
    return safety


@pytest.mark.parametrize(('state', 'event'), list(itertools.product(State, Event)), ids=lambda v: v.name)
def test_every_pair(state, event):
    safety = in_state(state)
    changed = safety.handle(event, 'because')
    expected = S.FAULT if event in ALARMING else EXPECTED[state, event]
    assert safety.state is expected
    assert changed == (expected is not state)
    assert (safety.reason == 'because') == changed  # a reason explains the present state, nothing else
    assert safety.torque_allowed == (expected in MOVING)


def test_the_table_is_complete_and_has_nothing_else():
    assert set(TRANSITIONS) == set(itertools.product(State, Event))
    assert FAULT_EVENTS == ALARMING
    assert TORQUE_STATES == MOVING
    assert len(EXPECTED) + len(State) * len(FAULT_EVENTS) == len(TRANSITIONS)


@given(st.lists(st.sampled_from(list(Event)), max_size=40))
def test_laws_over_any_history(events):
    safety, enabled = Safety(), False
    for event in events:
        before = safety.state
        safety.handle(event)
        if event in FAULT_EVENTS:
            assert safety.state is State.FAULT
        if before is State.FAULT and safety.state is not State.FAULT:
            assert event is Event.CLEAR_FAULT
            assert safety.state is State.OFF
            enabled = False
        if event is Event.ENABLE and before is not State.FAULT:
            enabled = True
        if event is Event.DISABLE and before is not State.FAULT:
            enabled = False
        if safety.torque_allowed:
            assert enabled  # no torque without an enable since the last disable or fault
        assert (safety.state is State.FAULT) == bool(safety.faults)


def test_the_first_fault_is_the_reason_and_the_others_are_kept():
    safety = Safety()
    safety.handle(Event.MOTOR_ERROR, 'motor 3 overheating')
    for n in range(20):
        safety.handle(Event.FEEDBACK_STALE, f'silence {n % 10}')
    assert safety.reason == 'motor 3 overheating'
    assert safety.faults[:2] == ('motor 3 overheating', 'silence 0')
    assert len(safety.faults) == 8
    safety.handle(Event.CLEAR_FAULT, 'cleared')
    assert (safety.reason, safety.faults) == ('cleared', ())


def test_watchdog_holds_then_relaxes():
    watchdog = CommandWatchdog(0.1, 2.0)
    assert watchdog.verdict(State.ACTIVE, 0.09) is None
    assert watchdog.verdict(State.ACTIVE, 0.11) is Event.COMMAND_STALE
    assert watchdog.verdict(State.HOLD, 1.9) is None
    assert watchdog.verdict(State.HOLD, 2.1) is Event.COMMAND_LOST
    assert watchdog.verdict(State.HOLD, 2.1, 300.0) is None
    assert watchdog.verdict(State.HOLD, 301.0, 300.0) is Event.COMMAND_LOST
    assert watchdog.verdict(State.HOLD, 1e9, 0.0) is None
    assert CommandWatchdog(0.1, 0.0).verdict(State.HOLD, 1e9) is None
    assert watchdog.verdict(State.FREE, 299.0) is None  # no command is needed to go on
    assert watchdog.verdict(State.FREE, 301.0) is Event.COMMAND_LOST
    assert CommandWatchdog(free_timeout_s=0.0).verdict(State.FREE, 1e9) is None
    for state in (State.OFF, State.RELAXED, State.FAULT):
        assert watchdog.verdict(state, 1e9) is None


MODEL = load_hand()


@given(st.lists(st.one_of(st.floats(-40, 200), st.just(np.nan), st.just(np.inf)), min_size=16, max_size=16))
def test_the_thermometer_names_every_hot_joint_and_no_other(temperatures):
    thermometer = Thermometer(MODEL, 60.0, 75.0)
    for text, limit in ((thermometer.warning(np.array(temperatures)), 60.0),
                        (thermometer.fault(np.array(temperatures)), 75.0)):
        hot = [name for name, t in zip(MODEL.joint_names, temperatures, strict=True) if t >= limit]
        assert bool(text) == bool(hot)
        assert all((f'{name} ' in text) == (name in hot) for name in MODEL.joint_names)


def test_no_sensors_no_judgement_and_thresholds_in_order():
    thermometer = Thermometer(MODEL, 60.0, 75.0)
    assert thermometer.fault(None) == thermometer.warning(None) == ''
    assert thermometer.fault(np.full(16, np.nan)) == ''
    with pytest.raises(ConfigError, match='temperature_warn_c'):
        Thermometer(MODEL, 80.0, 75.0)
