"""Who answered: side, type, generation."""

from __future__ import annotations

import pytest
from allegro_description.errors import IdentityError
from allegro_description.model import load_hand
from allegro_driver.hardware.identify import identify
from allegro_driver.protocol.session import HandInfo, SerialNumber

V4, V5_B, PLEXUS = load_hand('v4'), load_hand('v5_b'), load_hand('plexus')
NEW = HandInfo(0x0402, 0x0406, 'right')


def test_a_v4_that_says_so():
    identity = identify(V4, 'can0', NEW, SerialNumber('A080R', 'right'))
    assert (identity.serial, identity.side, identity.warnings) == ('A080R', 'right', ())
    assert identity.version == 'hardware 0x0402, firmware 0x0406'


@pytest.mark.parametrize('hardware', [0x0000, 0x0302, 0x03FF])
def test_hands_of_eight_volts_are_refused(hardware):
    with pytest.raises(IdentityError, match='8 V'):
        identify(V4, 'can0', HandInfo(hardware, 1, 'right'), SerialNumber('A080R', 'right'))
    identify(V5_B, 'can0', HandInfo(hardware, 1), SerialNumber('5TBR0017', 'right', 'B'))  # others count differently


def test_a_v4_that_keeps_its_generation_to_itself():
    identity = identify(V4, 'can0', None, SerialNumber('A080R', 'right'))
    assert 'hardware version' in identity.warnings[0]


def test_a_v5_behind_the_description_of_a_v4_is_refused():
    with pytest.raises(IdentityError, match='milliamps'):
        identify(V4, 'can0', HandInfo(0x0402, 1), SerialNumber('5TBR0017', 'right', 'B'))


def test_a_v4_behind_the_description_of_a_v5_is_refused():
    with pytest.raises(IdentityError, match='type 8'):
        identify(V5_B, 'can0', NEW, SerialNumber('A080R', None, '8'))


def test_the_plexus_tells_its_side_in_its_information_only():
    assert identify(PLEXUS, 'can0', HandInfo(1, 1, 'right'), SerialNumber('X1')).side == 'right'
    with pytest.raises(IdentityError, match='left hand'):
        identify(PLEXUS, 'can0', HandInfo(1, 1, 'left'), SerialNumber('X1'))
    assert identify(PLEXUS, 'can0', HandInfo(1, 1, None), SerialNumber('X1')).side is None


def test_sides_that_disagree_are_no_side():
    identity = identify(V4, 'can0', HandInfo(0x0402, 1, 'left'), SerialNumber('A080R', 'right'))
    assert identity.side is None
    assert any('disagree' in warning for warning in identity.warnings)
