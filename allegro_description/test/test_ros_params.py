"""One declaration, one truth: what a dataclass says is what ROS declares, checks and reports."""

from dataclasses import dataclass

import pytest
from allegro_description.config import parameter
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.ros.testing import require_graph

require_graph()

from allegro_description.ros.params import declare, undeclared  # noqa: E402
from rcl_interfaces.msg import ParameterType  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

pytestmark = pytest.mark.graph


@dataclass(frozen=True, slots=True)
class Config:
    rate_hz: float = parameter(100.0, 'rate', unit='Hz', low=1.0, high=300.0, live=True)
    cut: float = parameter(1.0, 'one-sided', low=0.0)
    count: int = parameter(3, 'count', low=1, high=9)
    fast: bool = parameter(False, 'switch', live=True)
    mode: str = parameter('slow', 'mode', choices=('slow', 'quick'), live=True)
    gains: tuple[float, ...] = parameter((1.0, 2.0), 'gains')
    names: tuple[str, ...] = parameter(('a', 'b'), 'names')


def node_with(graph, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return graph.node('params', parameter_overrides=overrides)


def test_defaults_are_the_dataclass(graph):
    node = node_with(graph)
    assert declare(node, Config) == Config()
    assert list(node.get_parameter('gains').value) == [1.0, 2.0]
    about = node.describe_parameter('rate_hz')
    assert not about.read_only
    assert about.type == ParameterType.PARAMETER_DOUBLE
    assert (about.floating_point_range[0].from_value, about.floating_point_range[0].to_value) == (1.0, 300.0)
    assert '[Hz]' in about.description
    assert node.describe_parameter('count').read_only
    assert node.describe_parameter('count').integer_range[0].to_value == 9


def test_given_values_arrive_and_whole_numbers_pass_for_floats(graph):
    node = node_with(graph, rate_hz=50, gains=[3.0], names=['x'], mode='quick', fast=True, count=4)
    assert declare(node, Config) == Config(50.0, 1.0, 4, True, 'quick', (3.0,), ('x',))
    assert node.get_parameter('rate_hz').value == 50.0


@pytest.mark.parametrize('given', [
    {'rate_hz': 0.5}, {'rate_hz': 'x'}, {'rate_hz': float('nan')}, {'count': 10}, {'count': 1.5}, {'mode': 'warp'},
    {'fast': 1}, {'gains': 'x'}, {'gains': ['a']}, {'cut': -1.0},
])
def test_a_wrong_value_is_one_sentence(graph, given):
    with pytest.raises(ConfigError) as caught:
        declare(node_with(graph, **given), Config)
    assert repr(next(iter(given))) in str(caught.value)
    assert 'allowed' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_live_changes_are_checked_and_delivered(graph):
    node, seen = node_with(graph), []

    def changed(config):
        if config.rate_hz == 13.0:
            raise CommandRefused('not thirteen')
        seen.append(config)

    declare(node, Config, changed)

    def change(name, value):
        return node.set_parameters([Parameter(name, value=value)])[0]

    assert change('rate_hz', 20.0).successful
    assert change('mode', 'quick').successful
    assert seen[-1] == Config(rate_hz=20.0, mode='quick')
    for name, value in [('rate_hz', 301.0), ('mode', 'warp'), ('count', 4), ('rate_hz', 13.0)]:
        assert not change(name, value).successful
    assert change('rate_hz', 13.0).reason == 'not thirteen'
    assert change('fast', True).successful
    assert seen[-1] == Config(rate_hz=20.0, mode='quick', fast=True)


def test_two_configurations_may_share_a_parameter(graph):
    @dataclass(frozen=True, slots=True)
    class Other:
        count: int = parameter(5, 'count')

    node = node_with(graph, unknown=1)
    declare(node, Config)
    assert declare(node, Other) == Other(3)
    assert undeclared(node) == ['unknown']
