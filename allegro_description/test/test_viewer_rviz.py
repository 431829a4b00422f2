"""RViz configurations and the description command, checked as far as that goes without RViz."""

import importlib.util
import subprocess
import sys
import types
from pathlib import Path
from urllib.parse import urlparse
from xml.etree import ElementTree

import pytest
import yaml
from allegro_description.model import available_hands, load_hand
from allegro_description.share import share_dir

HAND = load_hand()
SOURCE = share_dir()


def configurations():
    return sorted(p for folder in (SOURCE / 'rviz', SOURCE.parent / 'launch' / 'rviz') for p in folder.glob('*.rviz'))


@pytest.mark.parametrize('path', configurations(), ids=lambda p: f'{p.parent.parent.name}/{p.name}')
def test_rviz_configurations_are_readable_relative_and_fixed_to_the_palm(path):
    text = path.read_text()
    manager = yaml.safe_load(text)['Visualization Manager']
    two = path.stem == 'dual_hand'
    assert manager['Global Options']['Fixed Frame'] == ('world' if two else HAND.palm)
    names = [d['Name'] for d in manager['Displays']]
    assert len(names) == len(set(names))
    assert '/home' not in text
    assert 'file://' not in text
    for display in manager['Displays']:
        topic = display.get('Topic', display.get('Description Topic', {})).get('Value', '')
        if two:  # one window for the namespaces that dual_hand.launch.py gives by default
            assert not topic or topic.startswith(('/right/', '/left/')), display['Name']
        else:
            assert not topic.startswith('/'), f'{display["Name"]}: {topic} would break a namespace'


def test_the_grasp_view_shows_pressure_object_and_every_fingertip_force():
    path = SOURCE.parent / 'launch' / 'rviz' / 'hand.rviz'
    if not path.is_file():
        pytest.skip('the launch package is not beside this one')
    shown = yaml.safe_load(path.read_text())['Visualization Manager']['Displays']
    displays = {d['Class'].rpartition('/')[2]: d for d in shown}
    cloud = displays['PointCloud2']
    assert (cloud['Topic']['Value'], cloud['Channel Name']) == ('tactile/points', 'pressure')
    assert displays['Marker']['Topic']['Value'] == 'object'
    text = path.read_text()
    for finger in HAND.fingers:
        assert f'tactile/{finger.name}/wrench' in text
    assert {'RobotModel', 'TF'} <= set(displays)


def test_description_command_prints_a_urdf_with_its_prefix():
    command = [sys.executable, '-m', 'allegro_description.robot_description', '--prefix=left_']
    urdf = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    links = {element.get('name') for element in ElementTree.fromstring(urdf).iter('link')}
    assert {f'left_{link.name}' for link in HAND.links} <= links
    unknown = subprocess.run([*command, '--side=up'], capture_output=True, text=True, timeout=60, check=False)
    assert unknown.returncode == 2
    assert 'v5_sense_right' in unknown.stderr
    assert 'Traceback' not in unknown.stderr


class StandIn:
    """Any class of launch: remembers what it was made of. The ROS wheels have no launch."""

    def __init__(self, *rows, **named):
        self.rows, self.named = rows, named


@pytest.fixture
def launch_file(monkeypatch):
    """The launch file as a module, with stand-ins for what it imports from launch."""
    for name, members in {
        'launch': ('LaunchContext', 'LaunchDescription', 'LaunchDescriptionEntity'),
        'launch.actions': ('DeclareLaunchArgument', 'EmitEvent', 'LogInfo', 'OpaqueFunction', 'Shutdown'),
        'launch.events': ('Shutdown',), 'launch_ros': (), 'launch_ros.actions': ('Node',),
    }.items():
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (StandIn,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location('view_hand', SOURCE / 'launch' / 'view_hand.launch.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def launched(module, **given):
    """What the launch file starts with these arguments."""
    *declared, opaque = module.generate_launch_description().rows[0]
    defaults = {d.rows[0]: d.named['default_value'] for d in declared}
    assert set(given) <= set(defaults)
    return opaque.named['function'](types.SimpleNamespace(launch_configurations=defaults | given))


@pytest.mark.parametrize('name', available_hands())
def test_view_hand_describes_every_hand_and_fixes_its_palm(launch_file, name, tmp_path):
    model, _, side = name.rpartition('_')
    publisher, sliders, rviz = launched(launch_file, model=model, side=side, prefix='a_', meshes=str(tmp_path))
    robot = ElementTree.fromstring(publisher.named['parameters'][0]['robot_description'])
    links = {element.get('name') for element in robot.iter('link')}
    options = rviz.named['arguments']
    fixed = options[options.index('-f') + 1]
    assert fixed == 'a_' + load_hand(model, side).palm
    assert fixed in links
    assert Path(options[options.index('-d') + 1]).is_file()
    assert {urlparse(m.get('filename')).scheme for m in robot.iter('mesh')} == {'file'}
    assert sliders.named['package'] == 'joint_state_publisher_gui'


def test_view_hand_without_meshes_and_with_wrong_arguments(launch_file):
    publisher, *_ = launched(launch_file, meshes='')
    assert '<mesh' not in publisher.named['parameters'][0]['robot_description']
    log, end = launched(launch_file, model='v9')
    assert "unknown hand 'v9_right'" in log.named['msg']
    assert 'Shutdown' in type(end.named['event']).__name__
