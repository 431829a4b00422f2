"""What the profiler takes of a core, told from the arrays of a run."""

import json

import numpy as np
import pytest
from allegro_bench.evidence.profiler_overhead import main, overhead, sentence
from allegro_bench.record import SeriesRecord, TickRecord
from allegro_description.errors import ConfigError

SECOND = 1_000_000_000


def run(folder, *, busy_s=30, idle_s=30, busy_share=0.02, idle_share=0.01, rate_hz=50, source='proc'):
    """A run that infers for ``busy_s``, then does nothing; read once a second."""
    n = round(busy_s * rate_hz)
    release = (np.arange(n) * SECOND / rate_hz + SECOND // (2 * rate_hz)).astype(np.int64)
    done = np.stack([np.arange(n), release, release + 100, release + 200, release * 0], axis=1)
    folder.mkdir()
    TickRecord(done, np.zeros((0, 2), np.int64), ('stand-in',), 0).save(folder)
    shares = np.r_[np.full(busy_s, busy_share), np.full(idle_s, idle_share)]
    table = np.stack([np.arange(busy_s + idle_s + 1.0), np.r_[0.0, np.cumsum(shares)]], axis=1)
    SeriesRecord({'cpu/7': table, 'cpu/0': table * [1, 40]}).save(folder)
    nodes = [{'name': 'inference_profiler', 'pid': 7, 'source': source},
             {'name': 'whole machine', 'pid': 0, 'source': 'proc'}]
    (folder / 'result.json').write_text(json.dumps({'nodes': nodes, 'system': {'cpu': {'cores': 2}}}))
    return folder


def test_only_seconds_at_the_control_rate_count(tmp_path):
    found = overhead(run(tmp_path / 'run'))
    assert found['share']['value'] == pytest.approx(0.02)
    assert found['share']['lo'] == pytest.approx(0.02) == found['share']['hi']
    assert found['share_all'] == pytest.approx(0.015)
    assert (found['seconds'], found['all_s']) == (30.0, 60.0)
    assert found['rate_hz'] == pytest.approx(50)
    assert found['machine_cores'] == pytest.approx(40 * 0.015)
    assert '2 % [2, 2] of a core in the 30 s' in sentence(found)


@pytest.mark.parametrize(('share', 'code'), [(0.029, 0), (0.031, 1)])
def test_the_limit_decides(tmp_path, share, code):
    assert main([str(run(tmp_path / 'run', busy_share=share))]) == code


def test_the_worst_of_several_runs_decides(tmp_path, capsys):
    runs = [run(tmp_path / name, busy_share=share) for name, share in (('a', 0.05), ('b', 0.01))]
    assert main([*map(str, runs), '--json', str(tmp_path / 'out.json')]) == 1
    assert [row['folder'] for row in json.loads((tmp_path / 'out.json').read_text())] == ['a', 'b']
    assert 'exceeded' in capsys.readouterr().out


@pytest.mark.parametrize(('facts', 'words'), [({'busy_s': 5}, 'needed'), ({'busy_s': 0}, 'never ran'),
                                              ({'source': 'reported'}, 'process of its own')])
def test_runs_that_tell_nothing_are_refused(tmp_path, facts, words, capsys):
    folder = run(tmp_path / 'run', **facts)
    with pytest.raises(ConfigError, match=words):
        overhead(folder)
    assert main([str(folder)]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_a_run_is_a_sentence(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert 'no result of a live run' in capsys.readouterr().err
