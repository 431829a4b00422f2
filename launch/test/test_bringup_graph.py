"""The node list and its arguments: what starts for which wish, and that both ways to start it cannot differ."""

import argparse
import re
import runpy
from pathlib import Path

import pytest
import yaml
from allegro_bringup import processes
from allegro_bringup.arguments import (
    GraspArgs,
    HandArgs,
    ProfileArgs,
    add_options,
    description,
    from_texts,
    launch_choices,
    launch_default,
)
from allegro_bringup.graph import NodeSpec, ProcessSpec, grasp_graph, hand_graph, profile_graph
from allegro_bringup.runner import parse
from allegro_description.config import parameters
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.share import share_dir

LAUNCHES = {'hand': (HandArgs, hand_graph), 'grasp': (GraspArgs, grasp_graph), 'profile': (ProfileArgs, profile_graph)}


def names(specs):
    return [spec.name for spec in specs]


def test_a_real_hand_is_not_enabled_and_not_moved_unasked():
    driver = hand_graph(HandArgs())[0]
    assert (driver.name, driver.parameters['address']) == ('hand_driver', '')
    assert driver.parameters['enable_on_activate'] is False
    policy = grasp_graph(GraspArgs())[-1]
    assert policy.parameters['mode'] == 'shadow'


def test_an_emulated_hand_is_started_found_and_used():
    specs = {spec.name: spec for spec in grasp_graph(GraspArgs(emulate=True, wire_port=2001, local_port=2002))}
    assert isinstance(specs['hand_emulator'], ProcessSpec)
    assert '2001' in specs['hand_emulator'].arguments
    assert specs['hand_driver'].parameters['address'] == '127.0.0.1:2001:2002'
    assert specs['grasp_policy'].parameters['mode'] == 'sim'


@pytest.mark.parametrize(('args', 'part'), [
    (GraspArgs(emulate=True, address='10.0.0.2'), 'address'),
    (GraspArgs(emulate=True, mode='live'), 'mode'),
    (GraspArgs(mode='sim'), 'mode'),
    (GraspArgs(params_file='no/such.yaml'), 'no/such.yaml'),
])
def test_contradictions_are_refused(args, part):
    with pytest.raises(ConfigError, match=re.escape(part)):
        grasp_graph(args)


def test_a_hand_that_nobody_describes_is_refused():
    with pytest.raises(UnknownName, match='v5_sense_right'):
        hand_graph(HandArgs(model='v9'))


def test_options_add_and_leave_out_processes():
    base = names(profile_graph(ProfileArgs(output_dir='/x')))
    assert base == ['hand_emulator', 'hand_driver', 'tactile_publisher', 'grasp_policy', 'inference_profiler',
                    'bag_recorder', 'episode_control', 'episode_runner']
    assert 'bag_recorder' not in names(profile_graph(ProfileArgs(output_dir='/x', record=False)))
    real = names(profile_graph(ProfileArgs(output_dir='/x', emulate=False)))
    assert not {'hand_emulator', 'episode_control', 'episode_runner'} & set(real)
    assert 'hand_viewer' in names(hand_graph(HandArgs(viewer=True)))
    assert names(hand_graph(HandArgs(rviz=True)))[-2:] == ['robot_state_publisher', 'rviz2']


def test_rviz_gets_the_description_with_its_prefix():
    publisher = hand_graph(HandArgs(rviz=True, prefix='left_'))[-2]
    assert '"left_palm_link"' in publisher.parameters['robot_description']


def test_each_launch_file_has_all_arguments_of_the_one_before():
    hand, grasp, profile = ({p.name for p in parameters(c)} for c, _ in LAUNCHES.values())
    assert hand < grasp < profile
    wanted = {'model', 'side', 'transport', 'namespace', 'prefix', 'params_file', 'rviz', 'use_sim_time', 'autostart',
              'log_level'}
    assert wanted <= hand
    assert {'policy', 'backend', 'device'} <= grasp


@pytest.mark.parametrize('args_class', [HandArgs, GraspArgs, ProfileArgs])
def test_texts_give_back_the_defaults_and_every_argument_is_described(args_class):
    texts = {p.name: launch_default(p) for p in parameters(args_class)}
    assert from_texts(args_class, texts) == args_class()
    assert all(description(p) for p in parameters(args_class))
    assert all(launch_default(p) in (launch_choices(p) or [launch_default(p)]) for p in parameters(args_class))


@pytest.mark.parametrize(('name', 'text'), [
    ('emulate', 'maybe'), ('viewer_port', '8080.5'), ('viewer_port', '70000'), ('duration', 'nan'), ('side', 'middle'),
    ('level', '2'),
])
def test_wrong_texts_are_refused_by_name(name, text):
    with pytest.raises(ConfigError, match=name):
        from_texts(ProfileArgs, {name: text})


def test_unknown_arguments_are_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="'viewer'"):
        from_texts(HandArgs, {'viewr': 'true'})


def test_the_runner_has_an_option_for_each_launch_argument_and_no_other():
    parser = argparse.ArgumentParser()
    add_options(parser, ProfileArgs, {})
    options = {action.dest for action in parser._actions} - {'help'}
    assert options == {p.name for p in parameters(ProfileArgs)}
    assert parse(['--seed', '7', '--record', 'false', '--output-dir', '/x']).seed == 7


def test_the_command_line_of_a_node_carries_the_specification(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, 'find_executable', lambda package, executable: [f'{package}/{executable}'])
    values = {'x': 1.5, 'y': True, 'z': '1.0'}
    spec = NodeSpec('a', 'b', namespace='right', parameters=values, params_files=('/f.yaml',), log_level='warn')
    command = processes.command_line(spec, tmp_path)
    assert command[0] == 'a/b'
    assert '__ns:=/right' in command
    assert command.index('/f.yaml') < command.index(str(tmp_path / 'b.yaml'))
    written = yaml.safe_load((tmp_path / 'b.yaml').read_text())
    assert written == {'/**': {'ros__parameters': values}}


@pytest.mark.parametrize('launch_file', LAUNCHES)
def test_launch_files_declare_and_start_the_same(launch_file, tmp_path):
    """With ROS's own launch modules at hand: arguments and actions of each file are those of its graph."""
    pytest.importorskip('launch.actions')
    pytest.importorskip('launch_ros.actions')
    from launch.actions import DeclareLaunchArgument, OpaqueFunction
    from launch_ros.actions import Node

    from launch import LaunchContext

    args_class, graph = LAUNCHES[launch_file]
    path = share_dir('allegro_bringup') / f'{launch_file}.launch.py'
    if not path.exists():
        path = share_dir('allegro_bringup') / 'launch' / path.name
    entities = runpy.run_path(str(path))['generate_launch_description']().entities
    declared = {e.name: e for e in entities if isinstance(e, DeclareLaunchArgument)}
    assert set(declared) == {p.name for p in parameters(args_class)}
    context = LaunchContext()
    chosen = {'emulate': 'true', 'viewer': 'true', 'namespace': 'right', 'seed': '5', 'output_dir': str(tmp_path)}
    context.launch_configurations.update({p.name: launch_default(p) for p in parameters(args_class)})
    context.launch_configurations.update({k: v for k, v in chosen.items() if k in declared})
    (opaque,) = (e for e in entities if isinstance(e, OpaqueFunction))
    started = opaque.execute(context)
    specs = graph(from_texts(args_class, {k: v for k, v in chosen.items() if k in declared}))
    assert len(started) == len(specs)
    for action, spec in zip(started, specs, strict=True):
        if isinstance(spec, NodeSpec):
            assert isinstance(action, Node)
            assert (action.node_package, action.node_executable) == (spec.package, spec.executable)
            action._perform_substitutions(context)
            assert action.expanded_node_namespace == '/right'
            files = [Path(file) for file, is_file in action._Node__expanded_parameter_arguments if is_file]
            (values,) = yaml.safe_load(files[-1].read_text()).values()
            assert values['ros__parameters'] == dict(spec.parameters)


def test_launch_files_hold_no_logic():
    for name, (args_class, graph) in LAUNCHES.items():
        text = (Path(__file__).parents[1] / f'{name}.launch.py').read_text()
        assert f'return launch_description({args_class.__name__}, {graph.__name__})' in text
        assert len(text.splitlines()) <= 20
