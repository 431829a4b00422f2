"""The shipped parameter file says what the code declares, and the graph sets nothing that a node does not know."""

import pytest
import yaml
from allegro_bringup import parameter_file
from allegro_bringup.arguments import ProfileArgs, ReplayArgs
from allegro_bringup.graph import NodeSpec, profile_graph
from allegro_bringup.replaying import replay_graph
from allegro_description.config import from_mapping, parameters
from allegro_description.share import share_dir

LIFECYCLE = {'autostart', 'retry', 'retry_s', 'use_sim_time'}


def specs():
    graph = profile_graph(ProfileArgs(output_dir='x', viewer=True, bridge='vendor'))
    player = replay_graph(ReplayArgs(bag='b', output_dir='x'))[-1]
    return {spec.name: spec for spec in (*graph, player) if isinstance(spec, NodeSpec)}


def test_the_file_is_what_the_code_would_write():
    shipped = (share_dir('allegro_bringup') / 'config' / 'parameters.yaml').read_text()
    remedy = 'run: python -m allegro_bringup.parameter_file > launch/config/parameters.yaml'
    assert shipped == parameter_file.text(), remedy


def test_every_node_is_in_the_file():
    assert set(specs()) == set(parameter_file.CONFIGURATIONS) == set(parameter_file.LAUNCH_SETS)


@pytest.mark.parametrize('node', parameter_file.CONFIGURATIONS)
def test_nodes_know_what_the_graph_and_the_file_give_them(node):
    config = parameter_file.configuration(node)
    known = {p.name for p in parameters(config)}
    assert set(specs()[node].parameters) - LIFECYCLE <= known
    assert parameter_file.LAUNCH_SETS[node] == set(specs()[node].parameters) - LIFECYCLE
    shipped = yaml.safe_load((share_dir('allegro_bringup') / 'config' / 'parameters.yaml').read_text())
    given = shipped.get(f'/**/{node}', {'ros__parameters': {}})['ros__parameters']
    assert from_mapping(config, given) == config()
    values = {k: v for k, v in specs()[node].parameters.items() if k in known}
    from_mapping(config, values)
