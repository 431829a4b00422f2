"""The data set that comes with the package: whole, small, described, and what its sheet says is to be seen in it."""

import importlib.util
import json
from hashlib import sha256

import numpy as np
import pytest
from allegro_bench.bags.health import inspect
from allegro_bench.bags.recording import read_recording
from allegro_bench.dataset import CATALOGUE, DATASHEET, PLANS, datasheet, describe
from allegro_bench.lerobot import check, export
from allegro_description.model import load_hand
from allegro_description.share import share_dir

FOLDER = share_dir('allegro_bench') / 'datasets' / 'emulated_hand'
MADE = json.loads((FOLDER / CATALOGUE).read_text())
HAND = load_hand()


def test_the_set_is_what_its_catalogue_says_and_small():
    assert set(MADE['recordings']) == {p.name for p in PLANS}
    total = 0
    for name, row in MADE['recordings'].items():
        for file, digest in row['sha256'].items():
            data = (FOLDER / name / file).read_bytes()
            total += len(data)
            assert sha256(data).hexdigest() == digest
    assert total == MADE['bytes'] <= 4_000_000
    assert (FOLDER / DATASHEET).read_text() == datasheet(MADE)
    assert '**Simulated.**' in datasheet(MADE)


@pytest.mark.parametrize('plan', PLANS, ids=lambda p: p.name)
def test_every_recording_reads_whole_with_who_and_what_it_was(plan):
    row = json.loads(json.dumps(describe(plan, FOLDER / plan.name)))
    assert row == MADE['recordings'][plan.name]
    assert row['damage'] == []
    facts = read_recording(FOLDER / plan.name, kinds=()).sources.metadata
    assert facts['simulated'] == 'true'
    assert facts['hand_serial'] == '5SBR0001'
    assert facts['hand_sha256'] == HAND.sha256
    assert len(facts['bundle_sha256']) == 64
    assert 'calibration' in facts


def test_what_the_sheet_promises_is_in_the_recordings():
    dead = read_recording(FOLDER / 'dead_taxel').tracks['touch']
    cell = [t.name for t in HAND.taxels].index('ring_tip')
    late = dead.received_ns > dead.received_ns[0] + 5 * 10**9
    assert late.sum() > 50
    assert not dead.valid[late, cell].any() or np.ptp(dead.values[late, cell]) < 1e-6
    link = read_recording(FOLDER / 'link_fault')
    assert any('no sample from the hand' in e['message'] for e in link.tracks['diagnostics'].events)
    slip = read_recording(FOLDER / 'slip').tracks['episodes'].events
    assert any(e['event'] == 'dropped' for e in slip)
    shapes = {e['shape'] for e in read_recording(FOLDER / 'objects').tracks['episodes'].events}
    assert len(shapes) == 3
    link_gap = {s['kind']: s['longest_gap_ms'] for s in inspect(FOLDER / 'link_fault')['streams']}
    assert link_gap['joint_states'] > 250


@pytest.mark.skipif(importlib.util.find_spec('pyarrow') is None, reason='pyarrow is not installed')
def test_it_becomes_a_lerobot_dataset_that_reads_back(tmp_path):
    info = export(FOLDER / 'objects', tmp_path / 'lerobot', fps=50.0)
    assert check(tmp_path / 'lerobot') == info['total_frames'] > 500
    assert info['total_episodes'] == 3
    if importlib.util.find_spec('lerobot') is None:
        return
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    assert len(LeRobotDataset('local/emulated_hand', root=tmp_path / 'lerobot')) == info['total_frames']
