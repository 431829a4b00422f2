"""``--help`` of every node: what it is and all that it takes, without ROS being started."""

import importlib

import pytest
from allegro_bringup import parameter_file
from allegro_description.config import parameters

rclpy = pytest.importorskip('rclpy')


@pytest.mark.parametrize('node', parameter_file.CONFIGURATIONS)
@pytest.mark.parametrize('words', [['--help'], ['--ros-args', '-p', 'side:=left', '-h']])
def test_a_node_tells_what_it_is_and_takes_and_starts_nothing(node, words, capsys, monkeypatch):
    def started(*_, **__):
        raise AssertionError('ROS was started')

    monkeypatch.setattr(rclpy, 'init', started)
    package = parameter_file.CONFIGURATIONS[node].partition('.')[0]
    assert importlib.import_module(f'{package}.nodes.{node}').main(words) == 0
    text = capsys.readouterr().out
    assert f'usage: {node} ' in text
    flat = ' '.join(text.split())
    for one in parameters(parameter_file.configuration(node)):
        assert f' {one.name} ({one.kind}; default {one.default!r};'.rstrip(';') in flat
        assert ' '.join(one.doc.split()) in flat
    assert not rclpy.ok()


def test_managed_nodes_tell_of_their_lifecycle_and_others_do_not(capsys):
    said = {}
    for node in ('hand_driver', 'vendor_bridge'):
        assert importlib.import_module(f'allegro_driver.nodes.{node}').main(['--help']) == 0
        said[node] = capsys.readouterr().out
    assert '  autostart   (bool; default True)' in said['hand_driver']
    assert 'autostart' not in said['vendor_bridge']
