"""RViz configurations and the description command, checked as far as that goes without RViz."""

import ast
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from allegro_description.model import load_hand
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


def test_launch_file_names_arguments_the_command_knows():
    source = (Path(SOURCE) / 'launch' / 'view_hand.launch.py').read_text()
    assigned = next(node for node in ast.parse(source).body
                    if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == 'ARGUMENTS')
    options = [f'--{name}={value}' for name, value, _ in ast.literal_eval(assigned.value)]
    command = [sys.executable, '-m', 'allegro_description.robot_description', *options]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
