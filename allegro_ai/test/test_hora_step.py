"""The comparison of a step with torch: what it computes, and that it refuses to compare what differs."""

import numpy as np
import pytest

pytest.importorskip('torch')

from allegro_ai.evidence import hora_step
from allegro_ai.evidence.hora_torch import Deployment
from allegro_ai.importing.hora import import_hora
from allegro_description.errors import AllegroError
from allegro_description.model import load_hand


def test_the_interval_covers_a_known_ratio_and_widens_with_noise():
    rng = np.random.default_rng(0)
    ours = rng.lognormal(np.log(50), 0.3, 2000)
    value, low, high = hora_step.ratio(ours, rng.lognormal(np.log(200), 0.3, 2000))
    assert low < 4.0 < high
    assert low < value < high
    drifting = np.repeat(rng.lognormal(np.log(200), 1.0, 40), hora_step.BLOCK)
    _, wide_low, wide_high = hora_step.ratio(ours, drifting)
    assert wide_high - wide_low > 2 * (high - low)


def test_a_whole_comparison_and_one_of_different_networks(tmp_path, capsys):
    path = Deployment().save(tmp_path / 'model.ckpt')
    arguments = ['--checkpoint', str(path), '--pairs', '200', '--paced', '0', '--json', str(tmp_path / 'found.json')]
    assert hora_step.main(arguments) == 0
    assert '| blocks | 200 |' in capsys.readouterr().out
    assert '"ratio_p50"' in (tmp_path / 'found.json').read_text()
    bundle = import_hora(path, tmp_path / 'bundle', load_hand('v4'), accept_gains=True)
    with pytest.raises(AllegroError, match='nothing can be compared'):
        hora_step.measure(hora_step.Stand(bundle, Deployment(seed=1), 'onnxruntime'), 100)
