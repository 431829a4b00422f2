"""Grams only where joules and a named grid are known; figures with their source; no digits that nobody has."""

import math

import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.share import share_dir
from hypothesis import given
from hypothesis import strategies as st

from allegro_bench import carbon


def test_no_default_country_and_no_gram_without_energy():
    assert carbon.intensity_of() is None
    assert carbon.operational(1e6, None) is None
    assert carbon.section(0.5, None, 50.0) is None
    for unknown in (None, math.nan):
        assert carbon.operational(unknown, carbon.intensity_of('DE')) is None
    assert carbon.section(None, carbon.intensity_of('DE'), 50.0) is None


def test_every_shipped_zone_has_a_plausible_figure_with_source_and_year():
    known = carbon.zones()
    assert len(known) > 100  # two codes each
    for code, (name, found) in known.items():
        assert 10.0 < found.g_per_kwh < 1000.0, code
        assert 2022 <= found.year <= 2026, code
        assert name
        assert 'Ember' in found.source
        assert found.kind == 'average'
    head = (share_dir('allegro_bench') / carbon.TABLE).read_text().split('zone,')[0]
    for said in ('ember-energy.org', 'CC BY', 'location-based', 'average'):
        assert said in head


def test_order_of_countries_is_the_known_one():
    """Hydro and nuclear far below gas, gas below coal: a shifted column would break this."""
    g = {zone: carbon.intensity_of(zone).g_per_kwh for zone in ('NO', 'FR', 'GB', 'US', 'PL', 'IN')}
    assert sorted(g, key=g.get) == ['NO', 'FR', 'GB', 'US', 'PL', 'IN']
    assert carbon.intensity_of('deu') == carbon.intensity_of('DE')
    assert carbon.intensity_of('world').zone == 'WORLD'


@given(st.floats(0, 1e9), st.floats(0, 1500))
def test_grams_are_kilowatt_hours_times_intensity(joules, g):
    found = carbon.operational(joules, carbon.intensity_of(g_per_kwh=g))
    assert found == pytest.approx(joules / 3.6e6 * g)


def test_one_kilowatt_hour_is_one_intensity():
    germany = carbon.intensity_of('DE')
    assert carbon.operational(3.6e6, germany) == germany.g_per_kwh


def test_the_users_number_wins_and_says_so():
    found = carbon.intensity_of('DE', 120.0, kind='marginal')
    assert (found.g_per_kwh, found.zone, found.year, found.kind) == (120.0, 'DE', None, 'marginal')
    assert found.source == 'given by the user'


@pytest.mark.parametrize('wrong', [-1.0, 2500.0, math.nan, math.inf])
def test_an_intensity_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match='g/kWh'):
        carbon.intensity_of(g_per_kwh=wrong)


def test_unknown_zone_names_the_remedy():
    with pytest.raises(UnknownName, match='give its intensity'):
        carbon.intensity_of('XX')


@given(st.floats(1e-12, 1e12))
def test_never_more_than_two_digits(grams):
    digits = f'{carbon.rounded(grams):e}'.split('e')[0].rstrip('0').replace('.', '')
    assert len(digits) <= 2
    assert carbon.rounded(grams) == pytest.approx(grams, rel=0.05)


def test_sci_needs_the_embodied_share():
    grid = carbon.intensity_of(g_per_kwh=500.0)
    assert carbon.sci(3.6e6, grid, None, 10) is None
    assert carbon.sci(3.6e6, grid, 100.0, 10) == pytest.approx(60.0)
    plain = carbon.section(0.2, grid, 50.0)
    assert plain['sci'] is None
    assert plain['g_per_hour'] == pytest.approx(5.0)  # 10 W for an hour, 500 g/kWh
    assert carbon.section(0.2, grid, 50.0, embodied_g_per_hour=1.0)['sci']['g_per_hour'] == pytest.approx(6.0)
    with pytest.raises(ConfigError):
        carbon.sci(1.0, grid, -1.0, 1)
