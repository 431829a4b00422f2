"""Parameters, plug-in tables and commands: what is refused, and with which words."""

import dataclasses

import numpy as np
import pytest
import yaml
from allegro_description.config import Parameter, defaults, from_mapping, markdown_table, parameter, parameters
from allegro_description.errors import CommandRefused, ConfigError, MissingDependency, UnknownName, UnknownPlugin
from allegro_description.plugins import Plugin, PluginTable
from allegro_description.state import JointCommand
from hypothesis import given
from hypothesis import strategies as st


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    rate_hz: float = parameter(50.0, 'rate', unit='Hz', low=1.0, high=500.0, live=True)
    count: int = parameter(3, 'how many', low=0)
    side: str = parameter('right', 'which hand', choices=('right', 'left'))
    on: bool = parameter(True, 'switch')
    gains: tuple[float, ...] = parameter((1.0, 2.0), 'gains')


def test_defaults_survive_their_own_validation():
    assert from_mapping(Example, defaults(Example)) == Example()


@pytest.mark.parametrize(
    'values',
    [{'rate_hz': 0.0}, {'rate_hz': 501}, {'rate_hz': float('nan')}, {'rate_hz': '50'}, {'rate_hz': True},
     {'count': 1.5}, {'count': -1}, {'side': 'up'}, {'on': 1}, {'on': 'true'}, {'gains': 3.0}],
)
def test_bad_values_are_refused_by_name(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        from_mapping(Example, values)


def test_unknown_parameter_suggests_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'rate_hz'"):
        from_mapping(Example, {'rate_hertz': 1.0})


@given(st.floats(1.0, 500.0), st.integers(0, 10**6))
def test_values_inside_the_range_are_kept(rate, count):
    example = from_mapping(Example, {'rate_hz': rate, 'count': count})
    assert (example.rate_hz, example.count) == (rate, count)


def test_table_names_every_parameter():
    table = markdown_table(Example)
    for p in parameters(Example):
        assert f'`{p.name}`' in table
        assert p.doc in table


def test_plugin_table_loads_lazily_and_explains_absence():
    table = PluginTable('meter', {
        'path': Plugin('pathlib:Path'),
        'absent': Plugin('no_such_module_at_all:X', ('no_such_module_at_all',), 'pip install nothing'),
    }, 'allegro_test.none')
    assert table.load('path').__name__ == 'Path'
    with pytest.raises(MissingDependency, match='pip install nothing'):
        table.load('absent')
    with pytest.raises(UnknownPlugin, match='Did you mean'):
        table.load('pathh')
    assert {name: ok for name, ok, _ in table.available()} == {'path': True, 'absent': False}


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_commands_with_nan_never_exist(bad):
    values = np.zeros(16)
    values[5] = bad
    with pytest.raises(CommandRefused, match='5'):
        JointCommand(0, position=values)
    with pytest.raises(CommandRefused, match='5'):
        JointCommand(0, effort=values)


def test_commands_are_position_xor_effort():
    with pytest.raises(CommandRefused):
        JointCommand(0)
    with pytest.raises(CommandRefused):
        JointCommand(0, position=np.zeros(16), effort=np.zeros(16))


def test_words_that_yaml_takes_for_truth_values():
    """``-p realtime:=off`` on a ROS command line arrives as False."""
    declared = Parameter('realtime', 'auto', 'doc', choices=('auto', 'off'))
    assert declared.check(yaml.safe_load('off')) == 'off'
    for text in ('on', 'true'):
        with pytest.raises(ConfigError, match='one of auto, off'):
            declared.check(yaml.safe_load(text))
    assert Parameter('a', 'on', 'doc', choices=('on', 'off')).check(True) == 'on'
    with pytest.raises(ConfigError):
        Parameter('a', 'x', 'doc').check(False)
