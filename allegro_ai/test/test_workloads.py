"""The ladder has the published sizes, counted on the graphs themselves, and its bundles are no policies."""

import numpy as np
import pytest
from allegro_ai.bundle import load_bundle
from allegro_ai.cli import main
from allegro_ai.contract import check_mode
from allegro_ai.graph import inspect
from allegro_ai.workloads import RUNGS, build
from allegro_ai.workloads.ladder import write_workload
from allegro_description.errors import BundleError, UnknownName
from allegro_description.model import load_hand

SIZES = {'L0': 0.4}
"""Relative deviation from the published numbers where it is not 0.03: "about 1 k" MACs of L0 are 84 x 16."""


@pytest.mark.parametrize('name', RUNGS)
def test_sizes_are_the_published_ones(name):
    report, rung = inspect(build(name).SerializeToString()), RUNGS[name]
    assert report.parameters == pytest.approx(rung.parameters, rel=0.03)
    assert report.macs == pytest.approx(rung.macs, rel=SIZES.get(name, 0.03))


def test_same_seed_same_bytes_other_seed_other_weights():
    one, same, other = (build('L1a', seed).SerializeToString() for seed in (3, 3, 4))
    assert one == same != other


@pytest.mark.parametrize('name', ['L1a', 'L2b', 'L3a'])
def test_bundles_are_made_deterministically_and_never_go_live(name, tmp_path):
    hand = load_hand()
    first = write_workload(name, tmp_path / 'a', hand)
    second = write_workload(name, tmp_path / 'b', hand)
    assert first.files == second.files
    bundle = load_bundle(tmp_path / 'a', hand)
    assert bundle.workload
    with pytest.raises(BundleError, match='random'):
        check_mode(bundle.contract, 'live')
    action = bundle.policy().act({n: np.zeros((1, *s[1:]), dtype=np.float32)
                                  for n, s in bundle.report.spec.inputs.items()})
    assert action.shape[1:] == tuple(bundle.contract['output']['shape'])


def test_unknown_rungs_are_named():
    with pytest.raises(UnknownName, match='L1b'):
        build('L9')


def test_the_command_writes_rungs_and_the_table_says_how_far_backends_are_off(tmp_path, capsys):
    assert main(['ladder', '--output', str(tmp_path), 'L0']) == 0
    assert '1360' in capsys.readouterr().out, 'counted: 84 x 16 weights and 16 biases'
    assert main(['backends', str(tmp_path / 'L0'), '--only', 'numpy']) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert 'agrees' in row
    assert '0.0001' in row
    assert main(['backends', '--only', 'torhc']) == 2
    assert 'torch' in capsys.readouterr().err
    assert main(['ladder', '--output', str(tmp_path), 'L9']) == 2
