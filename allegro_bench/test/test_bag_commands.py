"""``allegro-bench bag info`` says what is in a bag, and what of it is missing."""

import json

import numpy as np
import pytest
from allegro_bench.cli import main
from bag_making import MS, hand_messages, ours


def info(bag, capsys, *more):
    assert main(['bag', 'info', str(bag), *more]) == 0
    return capsys.readouterr().out


def test_rates_and_gaps_are_those_of_the_messages_whatever_the_windows(tmp_path, capsys):
    messages = [m for m in hand_messages(400) if not 200 <= (m[3] - hand_messages(1)[0][3]) // (3 * MS) < 220]
    row = json.loads(info(ours(tmp_path / 'bag', messages, {'hand': 'v5_sense_right', 'hand_serial': '5SBR0001'}),
                          capsys, '--json'))
    found = {s['kind']: s for s in row['streams']}
    assert found['joint_states']['messages'] == 380
    assert found['joint_states']['gaps'] == 1
    assert found['joint_states']['longest_gap_ms'] == 63.0
    assert found['joint_states']['age_ms'] == 1.0
    assert found['joint_states']['rate_hz'] == pytest.approx(379 / (399 * 0.003), abs=0.01)
    assert row['damage'] == []
    assert row['metadata']['hand_serial'] == '5SBR0001'


def test_health_of_many_windows_is_that_of_one(tmp_path):
    from allegro_bench.bags.health import StreamHealth
    from allegro_bench.bags.recording import read_recording

    track = read_recording(ours(tmp_path / 'bag', hand_messages(300))).tracks['joint_states']
    keep = np.random.default_rng(0).random(300) > 0.3
    keep[:20] = True
    track = track.rows(keep)
    whole, parts = StreamHealth(), StreamHealth()
    whole.add(track)
    for begin in range(0, len(track), 20):
        parts.add(track.rows(slice(begin, begin + 20)))
    assert parts.row('joint_states', '') == whole.row('joint_states', '')


def test_info_for_a_person_names_streams_and_damage(tmp_path, capsys):
    bag = ours(tmp_path / 'bag', hand_messages(100), chunk_bytes=4096)
    assert 'nothing is damaged' in info(bag, capsys)
    path = bag / 'bag_0.mcap'
    path.write_bytes(path.read_bytes()[:-4000])
    said = info(bag, capsys)
    assert 'joint_states' in said
    assert 'bag_0.mcap' in said
    assert main(['bag', 'recover', str(bag)]) == 0
    capsys.readouterr()
    assert 'nothing is damaged' in info(bag, capsys)
    assert main(['bag', 'info', str(tmp_path / 'nothing')]) == 2
    assert capsys.readouterr().err.count('\n') == 1
