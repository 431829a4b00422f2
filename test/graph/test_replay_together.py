"""A recording and the real policy node: it is on the recording's time when the first episode begins."""

import re

import pytest
from allegro_description.ros.testing import require_graph
from allegro_description.share import share_dir

require_graph()

pytestmark = pytest.mark.graph
RECORDED = 139
"""Inferences in the recording; some of them fall to when the two nodes begin."""


def test_a_policy_beside_the_player_answers_in_the_first_episode(graph):
    bag = share_dir('allegro_bench') / 'datasets' / 'emulated_hand' / 'slip'
    policy = graph.start('allegro_ai.nodes.grasp_policy', '--ros-args', '-p', 'use_sim_time:=true', '-p',
                         'policy:=tactile_hold_linear', '-p', 'mode:=shadow')
    player = graph.start('allegro_bench.nodes.bag_player', '--ros-args', '-p', f'bag:={bag}', '-p',
                         'live:=[grasp_policy]', '-p', 'drive:=true')
    assert player.wait(60.0) == 0, player.output
    assert policy.stop() == 0, policy.output
    assert 'Traceback' not in policy.output + player.output
    assert 'cannot activate' not in policy.output
    found = re.search(r'(\d+) inferences', policy.output)
    assert found, policy.output
    assert 0.8 * RECORDED < int(found[1]) <= 1.1 * RECORDED
