"""Unverified points set for one hand: by name, checked like the description, without touching it."""

import copy

import pytest
from allegro_description.config import from_mapping
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import available_hands, load_hand
from allegro_driver.cli import main
from allegro_driver.config import DriverConfig
from allegro_driver.hardware import make_hardware
from allegro_driver.protocol.switches import CHOICES, Switches, overridden

CAN = [(name, load_hand(*name.rsplit('_', 1))) for name in available_hands()]
CAN = [(name, model) for name, model in CAN if 'can' in model.protocol]


def text_of(value):
    return str(list(value)).replace("'", '') if isinstance(value, tuple) else str(value).lower()


@pytest.mark.parametrize(('name', 'model'), CAN)
def test_every_value_of_every_switch_can_be_set_and_only_that_changes(name, model):
    entry = model.protocol['can']
    before = copy.deepcopy(dict(entry))
    codec = entry['codec']
    usual = Switches(codec, entry, name)
    for switch, allowed in CHOICES[codec].items():
        for value in allowed:
            found = Switches(codec, overridden(entry, f' {switch} = {text_of(value)} ', name), name)
            assert found[switch] == value
            assert all(found[other] == usual[other] for other in CHOICES[codec] if other != switch)
    assert dict(entry) == before
    assert overridden(entry, '', name) == before


@pytest.mark.parametrize(('text', 'error', 'words'), [
    ('period_ms=20', UnknownName, 'period_ms'),
    ('palm_scale=3', ConfigError, 'allowed: 1, 10'),
    ('palm_scale', ConfigError, 'NAME=VALUE'),
    ('palm_scale=[', ConfigError, 'allowed: 1, 10'),
    ('nonsense=1', UnknownName, 'nonsense'),
])
def test_what_is_no_switch_or_no_value_of_it_is_refused(text, error, words):
    model = load_hand('v5_sense', 'right')
    with pytest.raises(error, match=words.replace('[', r'\[')):
        overridden(model.protocol['can'], text, model.name)


def test_the_driver_and_the_command_line_take_it():
    model = load_hand('v5_sense', 'right')
    config = from_mapping(DriverConfig, {'link': 'can', 'address': 'virtual:test_switches', 'guardian': False,
                                         'switches': 'palm_scale=10,current_order=thumb_first'})
    session = make_hardware(model, config)._session
    assert session.switches['palm_scale'] == 10
    assert session.switches['current_order'] == 'thumb_first'
    assert main(['probe', 'virtual:test_switches', '--switches', 'palm_scale=7']) == 2


def test_a_link_without_switches_says_so():
    model = load_hand('v5_sense', 'right')
    with pytest.raises(UnknownName):
        overridden(model.protocol['udp'], 'palm_scale=10', model.name)
