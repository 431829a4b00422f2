"""Which hand can have which fault, and scripts of faults."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from allegro_description.errors import AllegroError, ConfigError, UnknownName
from allegro_description.model import load_hand
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.fault_table import FAULTS
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.script import FaultScript

V5 = load_hand('v5_b', 'right')
V4 = load_hand('v4', 'right')
DATAGRAM_ONLY = {'bus_off', 'missing_finger', 'period_ignored', 'device_id', 'overheat', 'info_fault'}


@pytest.mark.parametrize(('config', 'impossible'), [
    ({}, DATAGRAM_ONLY),
    ({'model': 'v4'}, {'motor_error', 'wrong_type', 'dead_taxel', 'saturated_taxel', 'taxel_invalid'}),
    ({'model': 'v5_a'}, {'info_fault'}), ({'model': 'v5_3f'}, {'info_fault'}),
    ({'model': 'v5_sense', 'wire': 'slcan'}, {'info_fault'}),
    ({'model': 'plexus'}, {'motor_error', 'wrong_type', 'dead_taxel', 'saturated_taxel', 'taxel_invalid'})])
def test_a_fault_works_or_is_refused_with_the_list_of_those_that_do(config, impossible):
    for name in FAULTS:
        values = EmulatorConfig(**{'physics': 'simple', **config})
        if name in impossible:
            with pytest.raises(ConfigError, match='it can have') as caught:
                build_emulator(values, [name])
            assert 'drop' in str(caught.value)
            assert '\n' not in str(caught.value)
        else:
            build_emulator(values, [name])


def test_bus_off_of_a_datagram_hand_points_to_stale():
    with pytest.raises(ConfigError, match='use stale'):
        build_emulator(EmulatorConfig(physics='simple'), ['bus_off'])


# --- scripts ------------------------------------------------------------------------------------------------------


def test_a_script_does_its_entries_in_the_order_of_their_times():
    faults = FaultSet(V4)
    script = FaultScript(faults, '5.0 clear; 2.0 drop=0.3; 3 stale for 0.5\n 4 missing_finger=thumb; 4.5 clear drop')
    seen = []
    for tick in range(60):
        now = 100.0 + tick * 0.1
        script.advance(tick * 0.1 + 1e-9, now)
        faults.expire(now)
        seen.append(tuple(faults.active()))
    assert seen[19] == ()
    assert seen[20] == ('drop',)
    assert seen[31] == ('drop', 'stale')
    assert seen[36] == ('drop',)
    assert seen[41] == ('drop', 'missing_finger')
    assert seen[46] == ('missing_finger',)
    assert seen[51] == ()
    assert script.over


@pytest.mark.parametrize('suffix', ['.yaml', '.json'])
def test_a_script_from_a_file(tmp_path, suffix):
    rows = [{'at': 1, 'fault': 'drop', 'value': 0.5}, {'at': 2.0, 'fault': 'stale', 'duration_s': 1},
            {'at': 4, 'clear': 'drop'}, {'at': 5, 'clear': True}]
    path = tmp_path / f'script{suffix}'
    path.write_text(json.dumps(rows))
    faults = FaultSet(V4)
    script = FaultScript(faults, str(path))
    script.advance(2.5, 2.5)
    assert faults.active() == {'drop': 0.5, 'stale': None}
    faults.expire(3.6)
    script.advance(4.5, 4.5)
    assert faults.active() == {}
    assert not script.over


@pytest.mark.parametrize(('text', 'word'), [
    ('drop', 'SECONDS'), ('x drop', 'number'), ('-1 drop', 'number'), ('1 drip', "Did you mean 'drop'"),
    ('1 drop=2', '0 … 1'), ('1 drop for', 'SECONDS'), ('1 drop for ever', 'duration_s'), ('1 drop 5', 'SECONDS'),
    ('1 clear drip', 'drip'), ('1 motor_error', 'it can have'), ('nowhere.yaml', 'nowhere.yaml')])
def test_wrong_scripts_are_refused_with_one_sentence(text, word):
    possible = set(FAULTS) - {'motor_error'}
    with pytest.raises(AllegroError, match=word) as caught:
        FaultScript(FaultSet(V4, possible=possible), text)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['at: 1', '- 5', '- {at: 1}', '- {fault: drop}', '- {at: 1, fault: drop, clear: x}',
                                     '- {at: 1, fault: drop, for: 2}', '- {at: [', '- {at: 1, fault: [drop]}'])
def test_wrong_script_files_are_refused(tmp_path, content):
    path = tmp_path / 'script.yml'
    path.write_text(content)
    with pytest.raises((ConfigError, UnknownName)) as caught:
        FaultScript(FaultSet(V4), str(path))
    assert '\n' not in str(caught.value)


def test_a_script_runs_on_the_emulators_clock():
    with running_emulator(model='v4', wire='slcan', script='0.05 stale for 0.2; 0.4 overheat=77') as server, \
            EmulatorClient(port=server.control_port, timeout_s=5.0) as control:
        seen, deadline = set(), time.monotonic() + 5.0
        while 'overheat' not in seen:
            assert time.monotonic() < deadline
            seen |= set(control.request('status')['faults'])
            time.sleep(0.01)
        assert seen == {'stale', 'overheat'}
        assert set(control.request('status')['temperature_c']) == {77.0}


def test_numbers_of_faults_reach_sensors_only():
    faults = FaultSet(V5)
    faults.inject('overheat', 200)
    assert faults.temperature(np.array([30.0, 40.0])).tolist() == [200.0, 200.0]
    faults.inject('taxel_invalid', 'index_tip')
    assert math.isnan(faults.tactile(np.zeros(4))[0])
    assert faults.period_ms(3) == 3
