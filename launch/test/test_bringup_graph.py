"""The node list and its arguments: what starts for which wish, and that both ways to start it cannot differ."""

import argparse
import re
import runpy
from pathlib import Path
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

import pytest
import yaml
from allegro_bringup import processes, readme_tables
from allegro_bringup.arguments import (
    DualArgs,
    GraspArgs,
    HandArgs,
    ProfileArgs,
    ReplayArgs,
    add_options,
    description,
    from_texts,
    launch_choices,
    launch_default,
)
from allegro_bringup.dual import dual_graph, mount
from allegro_bringup.graph import NodeSpec, ProcessSpec, grasp_graph, hand_graph, profile_graph
from allegro_bringup.replaying import replay_graph
from allegro_bringup.runner import parse
from allegro_description.config import parameters
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import load_hand
from allegro_description.share import share_dir

ONE_HAND = {'hand': (HandArgs, hand_graph), 'grasp': (GraspArgs, grasp_graph), 'profile': (ProfileArgs, profile_graph)}
LAUNCHES = {**ONE_HAND, 'dual_hand': (DualArgs, dual_graph), 'replay': (ReplayArgs, replay_graph)}


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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path


def test_options_add_and_leave_out_processes(cache):
    base = names(profile_graph(ProfileArgs(output_dir='/x')))
    assert base == ['hand_emulator', 'hand_driver', 'tactile_publisher', 'grasp_policy', 'inference_profiler',
                    'bag_recorder', 'episode_control', 'episode_runner']
    assert 'bag_recorder' not in names(profile_graph(ProfileArgs(output_dir='/x', record=False)))
    real = names(profile_graph(ProfileArgs(output_dir='/x', emulate=False)))
    assert not {'hand_emulator', 'episode_control', 'episode_runner'} & set(real)
    assert 'hand_viewer' in names(hand_graph(HandArgs(viewer=True)))
    assert names(hand_graph(HandArgs(rviz=True)))[-2:] == ['robot_state_publisher', 'rviz2']


def test_rviz_gets_the_description_with_its_prefix_and_meshes(cache):
    text = hand_graph(HandArgs(rviz=True, prefix='left_'))[-2].parameters['robot_description']
    assert '"left_palm_link"' in text
    drawn = [e.get('filename') for e in ElementTree.fromstring(text).iterfind('link/visual/geometry/mesh')]
    assert len(drawn) > 16
    assert all(Path(unquote(urlparse(name).path)).is_relative_to(cache) for name in drawn)
    assert all(Path(unquote(urlparse(name).path)).stat().st_size > 1000 for name in drawn)


def test_a_can_hand_is_emulated_on_a_terminal_and_found_there():
    specs = {spec.name: spec for spec in hand_graph(HandArgs(model='v4', emulate=True, control_port=2003))}
    arguments = specs['hand_emulator'].arguments
    path = arguments[arguments.index('--pty-link') + 1]
    assert specs['hand_driver'].parameters['link'] == 'can'
    assert specs['hand_driver'].parameters['address'] == f'slcan:{path}'
    assert 'tactile_publisher' not in specs  # a V4 feels nothing
    plexus = hand_graph(HandArgs(model='plexus', emulate=True))[1]
    assert plexus.parameters['address'].endswith('#1')


def test_a_hand_with_two_links_takes_the_one_that_is_asked_for():
    links = [hand_graph(HandArgs(transport=t))[0].parameters['link'] for t in ('auto', 'udp', 'can')]
    assert links == ['udp', 'udp', 'can']
    with pytest.raises(ConfigError, match='only: can'):
        hand_graph(HandArgs(model='v4', transport='udp'))


def test_what_an_operator_has_confirmed_reaches_the_driver_of_that_hand():
    left = {'model': 'v5_sense', 'side': 'left'}
    told = hand_graph(HandArgs(**left, confirmed='thumb_sign@5SBL0001'))[0].parameters
    assert told['confirmed'] == 'thumb_sign@5SBL0001'
    with pytest.raises(UnknownName, match='known: thumb_sign'):
        hand_graph(HandArgs(**left, confirmed='finger_names'))
    two = dual_graph(DualArgs(left_model='v5_3f', left_address='slcan:/dev/ttyACM0', left_confirmed='finger_names'))
    drivers = {spec.namespace: spec.parameters for spec in two if spec.name == 'hand_driver'}
    assert drivers['left']['confirmed'] == 'finger_names'
    assert 'confirmed' not in drivers['right']


def test_the_table_of_hands_names_what_each_hand_asks_for():
    for row in readme_tables.hands().splitlines()[2:]:
        sides, _, asked = row.split('|')[2].partition('(')
        models = [load_hand(row.split('`')[1], side.strip()) for side in sides.split(',')]
        assert re.findall('`(.*?)`', asked) == [name for model in models for name in model.confirm], row


def test_what_an_operator_must_confirm_is_confirmed_for_emulated_hands_only():
    left = {'model': 'v5_sense', 'side': 'left'}
    assert 'confirmed' not in hand_graph(HandArgs(**left))[0].parameters
    assert hand_graph(HandArgs(**left, emulate=True))[1].parameters['confirmed'] == 'thumb_sign'


def test_two_hands_share_nothing_but_the_world(cache):
    specs = dual_graph(DualArgs(left_model='v4', emulate=True, viewer=True, rviz=True))
    by_hand = [[s for s in specs if isinstance(s, NodeSpec) and s.namespace == n] for n in ('right', 'left')]
    assert [names(s)[0] for s in by_hand] == ['hand_driver', 'hand_driver']
    ports = [w for s in specs if isinstance(s, ProcessSpec) for w in s.arguments if w.isdecimal()]
    ports += [str(s.parameters['port']) for s in specs if s.name == 'hand_viewer']
    assert len(set(ports)) == len(ports) == 5
    texts = [s.parameters['robot_description'] for s in specs if s.name == 'robot_state_publisher']
    trees = [ElementTree.fromstring(text) for text in texts]
    links = [{e.get('name') for e in tree.findall('link')} for tree in trees]
    assert links[0] & links[1] == {'world'}
    for tree, own in zip(trees, links, strict=True):
        children = [e.get('link') for e in tree.findall('joint/child')]
        assert len(set(children)) == len(children) == len(own) - 1
        assert 'world' not in children
    for spec in specs:
        if spec.name == 'hand_driver':
            assert spec.parameters['prefix'] == spec.namespace + '_'


@pytest.mark.parametrize(('change', 'part'), [
    ({'left_namespace': 'right'}, 'namespace'), ({'left_side': 'right'}, 'left_address'),
    ({'rviz': True, 'left_address': 'x', 'left_mount': '0 0 1'}, 'mount'),
])
def test_two_hands_that_collide_are_refused(change, part):
    with pytest.raises(ConfigError, match=part):
        dual_graph(DualArgs(**change))


def test_a_mount_is_six_numbers():
    assert mount('1, 2, 3, 0 0 -1.5') == (1, 2, 3, 0, 0, -1.5)
    for text in ('', '1 2 3', '1 2 3 4 5 nan', 'a b c d e f'):
        with pytest.raises(ConfigError, match='six numbers'):
            mount(text)


def test_each_launch_file_has_all_arguments_of_the_one_before():
    hand, grasp, profile = ({p.name for p in parameters(c)} for c, _ in ONE_HAND.values())
    assert hand < grasp < profile
    wanted = {'model', 'side', 'transport', 'namespace', 'prefix', 'params_file', 'rviz', 'use_sim_time', 'autostart',
              'log_level'}
    assert wanted <= hand
    assert {'policy', 'backend', 'device'} <= grasp


@pytest.mark.parametrize('args_class', [HandArgs, GraspArgs, ProfileArgs, DualArgs])
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


class AsLaunchWrites(yaml.SafeLoader):
    """launch_ros writes lists of texts with a tag of Python, over which ROS's own reader of parameters passes."""


AsLaunchWrites.add_constructor(
    'tag:yaml.org,2002:python/tuple', lambda loader, node: tuple(loader.construct_sequence(node)))


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
    chosen = {'emulate': 'true', 'viewer': 'true', 'namespace': 'right', 'seed': '5', 'output_dir': str(tmp_path),
              'bag': str(tmp_path)}
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
            assert action.expanded_node_namespace == f'/{spec.namespace}'
            files = [Path(file) for file, is_file in action._Node__expanded_parameter_arguments if is_file]
            (values,) = yaml.load(files[-1].read_text(), AsLaunchWrites).values()
            assert values['ros__parameters'] == dict(spec.parameters)


def test_a_replayed_policy_commands_nothing_and_takes_its_time_from_the_recording():
    with pytest.raises(ConfigError, match='bag is empty'):
        replay_graph(ReplayArgs())
    policy, profiler, player = replay_graph(ReplayArgs(bag='b', output_dir='o'))
    assert policy.parameters['mode'] == 'shadow'
    assert policy.parameters['use_sim_time'] is profiler.parameters['use_sim_time'] is True
    assert player.parameters['live'] == ('grasp_policy', 'inference_profiler')
    assert player.parameters['commands'] is False, 'said by the graph, so no file of parameters says otherwise'
    assert player.ends_run


def test_launch_files_hold_no_logic():
    for name, (args_class, graph) in LAUNCHES.items():
        text = (Path(__file__).parents[1] / f'{name}.launch.py').read_text()
        assert f'return launch_description({args_class.__name__}, {graph.__name__})' in text
        assert len(text.splitlines()) <= 20
