"""Comparing results: what is unlike is refused, force is stamped; the commands and what they print."""

import json
import shutil

import numpy as np
import pytest
from allegro_bench.cli import main
from allegro_bench.results import intervals
from allegro_bench.results.compare import compare, markdown, refusals, two_samples
from allegro_bench.results.document import load, write
from allegro_bench.results.leaderboard import BEGIN, END, collect
from allegro_bench.results.validity import judge
from allegro_description.errors import ConfigError
from bench_result import make

A = 'onnxruntime/fp32'


@pytest.fixture(scope='module', autouse=True)
def fewer_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, 'RESAMPLES', 20)
        yield


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """Two runs of the same workload on other days."""
    folders = [tmp_path_factory.mktemp('run') / name for name in ('a', 'b')]
    for seed, folder in enumerate(folders):
        make(folder, seed=seed)
    return folders


def bent(folder, target, change):
    shutil.copytree(folder, target)
    document = load(target)
    change(document)
    document['validity'] = judge(document, target, document['validity']['reasons'])
    write(target, document)
    return target


def test_backends_of_one_run_are_compared_in_pairs(runs):
    found = compare(runs[0], runs[0])
    row = next(r for r in found['rows'] if r['metric'] == 'service_ms.p50')
    assert row['paired']
    assert row['distinguishable']
    assert not found['forced']
    assert '1.3' in markdown(found)


def test_two_runs_are_two_samples_and_alike_ones_are_not_told_apart(runs):
    found = compare(*runs)
    assert {r['a'] for r in found['rows']} == {'onnxruntime/fp32', 'openvino/fp32'}
    assert not any(r['paired'] for r in found['rows'])
    row = next(r for r in found['rows'] if r['metric'] == 'service_ms.p50' and r['a'] == A)
    assert row['distinguishable'] is False
    assert 'not interleaved' in markdown(found)
    again = compare(*runs, paired=True)
    assert all(r['paired'] and r['n_pairs'] == 3 for r in again['rows'])


@pytest.mark.parametrize(('change', 'words'), [
    (lambda d: d['workload'].update(hash='f' * 64), 'workload differs'),
    (lambda d: d['run'].update(profile='custom'), 'profile differs'),
    (lambda d: d['run']['settings'].update(block_s=20.0), 'length of blocks differs'),
    (lambda d: d['meters'][0].update(boundary='wall'), 'meters measure different things'),
    (lambda d: d['meters'][0].update(quality='estimated'), 'meters measure different things'),
    (lambda d: d.update(meters=[]), 'meters measure different things'),
    (lambda d: d['validity'].update(status='invalid'), 'is invalid'),
])
def test_unlike_things_are_refused(runs, change, words):
    one, two = load(runs[0]), load(runs[1])
    assert refusals(one, two) == []
    change(two)
    for pair in ((one, two), (two, one)):
        found = refusals(*pair)
        assert len(found) == 1
        assert words in found[0]


def test_another_major_version_is_refused(runs, tmp_path):
    folder = bent(runs[1], tmp_path / 'x', lambda d: d['schema'].update(version='2.0'))
    with pytest.raises(ConfigError, match=r'reads 1\.x'):
        compare(runs[0], folder, force=True)


def test_without_energy_meters_need_not_agree(runs, tmp_path):
    make(tmp_path / 'none', metered=False)
    with pytest.raises(ConfigError, match='no-energy'):
        compare(runs[0], tmp_path / 'none')
    rows = compare(runs[0], tmp_path / 'none', energy=False)['rows']
    assert rows
    assert not any('j_per' in r['metric'] for r in rows)


def test_force_compares_and_is_stamped(runs, tmp_path, capsys):
    folder = bent(runs[1], tmp_path / 'x', lambda d: d['workload'].update(hash='f' * 64))
    assert main(['compare', str(runs[0]), str(folder)]) == 2
    assert 'workload differs' in capsys.readouterr().err
    assert main(['compare', str(runs[0]), str(folder), '--force']) == 0
    assert capsys.readouterr().out.startswith('> **FORCED.**')
    assert main(['compare', str(runs[0]), str(folder), '--force', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['forced']
    assert any('workload' in r for r in found['refusals'])


def test_a_result_that_does_not_verify_is_refused(runs, tmp_path):
    def polish(document):
        document['summary'][0]['response_ms']['p99']['value'] = 0.001

    folder = bent(runs[1], tmp_path / 'x', polish)
    with pytest.raises(ConfigError, match='does not verify'):
        compare(runs[0], folder)


def test_two_samples_know_their_uncertainty():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        a, b = (np.exp(generator.normal(0.0, 0.1, 5)) for _ in range(2))
        found = two_samples('x', 'm', list(a), list(b))['ratio']
        covered += found['lo'] <= 1.0 <= found['hi']
    assert covered >= 180
    alone = two_samples('x', 'm', [2.0], [1.0])['ratio']
    assert alone == {'value': pytest.approx(2.0), 'lo': None, 'hi': None}
    same = two_samples('x', 'm', [2.0, 2.0], [1.0, 1.0])['ratio']
    assert same['lo'] == pytest.approx(same['hi']) == pytest.approx(2.0)


def test_verify_says_what_it_found(runs, tmp_path, capsys):
    assert main(['verify', str(runs[0])]) == 0
    out = capsys.readouterr().out
    assert 'fits its schema' in out
    assert 'DEGRADED (not_for_publication)' in out
    folder = bent(runs[0], tmp_path / 'x', lambda d: d['blocks'][2].update(n_late=7))
    assert main(['verify', str(folder)]) == 1
    assert 'edited: blocks/2' in capsys.readouterr().out
    assert main(['verify', str(folder), '--json']) == 1
    assert json.loads(capsys.readouterr().out)[0]['code'] == 'edited'


def test_nothing_there_is_one_sentence(tmp_path, capsys):
    for command in ('verify', 'report'):
        assert main([command, str(tmp_path)]) == 2
        assert 'cannot be read' in capsys.readouterr().err


def test_quick_and_invalid_and_edited_results_are_not_published(runs, tmp_path, capsys):
    shutil.copytree(runs[0], tmp_path / 'quick')
    board = collect(tmp_path)
    assert board.entries == ()
    assert 'not for publication' in board.refused[0][1]
    assert main(['leaderboard', str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert 'left out quick' in out
    assert 'No published result yet' in out


def test_the_leaderboard_shows_what_verifies(tmp_path, monkeypatch, capsys):
    """A standard profile whose blocks are short, so that a test can make one."""
    from dataclasses import replace

    from allegro_bench.running.profiles import PROFILES
    monkeypatch.setitem(PROFILES, 'standard', replace(PROFILES['standard'], block_s=10.0))
    results = tmp_path / 'results'
    document = make(results / 'one', profile='standard')
    assert document['validity']['status'] == 'valid', document['validity']
    readme = tmp_path / 'README.md'
    readme.write_text(f'above\n{BEGIN}\nold\n{END}\nbelow\n')
    page = tmp_path / 'board.html'
    assert main(['leaderboard', str(results), '--markdown', str(readme), '--html', str(page)]) == 0
    text = readme.read_text()
    assert text.startswith('above\n')
    assert text.endswith('\nbelow\n')
    assert 'old' not in text
    assert 'one: VALID' in text
    assert '(cpu_package)' in text
    assert 'not judged' in text
    assert 'VALID' in page.read_text()
    capsys.readouterr()
    readme.write_text(f'{END} {BEGIN}')
    assert main(['leaderboard', str(results), '--markdown', str(readme)]) == 2
    document['summary'][0]['response_ms']['p99']['value'] = 0.001
    write(results / 'one', document)
    assert 'does not verify' in dict(collect(results).refused)['one']


def test_the_report_of_a_benchmark_is_one_file_that_needs_no_network(runs, tmp_path):
    pytest.importorskip('plotly')
    import re

    from allegro_bench.charts import get_plotlyjs
    folder = bent(runs[0], tmp_path / 'x', lambda d: d['backends'][0].update(version='<script>alert(1)</script>'))
    assert main(['report', str(folder)]) == 0
    page = (folder / 'report.html').read_text()
    own = page.replace(get_plotlyjs(), '')
    assert len(page.encode()) < 6_000_000
    assert not re.search(r'(src|href)\s*=\s*["\']?(https?:)?//', own)
    assert '<script>alert' not in own
    for title in ('Latency', 'Missed ticks', 'Cost', 'Quality', 'Backends against each other', 'Every block', 'Machine',
                  'How it was measured'):
        assert f'<h2>{title}</h2>' in own
    assert own.count('Plotly.newPlot') == 5
    assert 'DEGRADED' in own
    assert 'measure with --profile standard' in own, 'a verdict comes with what to do'
    assert 'n/a (need 3688)' in own, 'a p99.9 of 1500 ticks must not be printed'
    assert 'The quality gate was not run' in own


@pytest.mark.parametrize('change', [
    lambda d: d.update(blocks=d['blocks'][:1], summary=[], comparisons=[]),
    lambda d: d.update(meters=[], blocks=d['blocks'][:3]),
    lambda d: d['system'].update({k: None for k in d['system'] if k not in ('cpu', 'gpu', 'libs', 'id', 'python')}),
])
def test_a_report_of_half_a_result_is_written_too(runs, tmp_path, change):
    pytest.importorskip('plotly')
    shutil.copytree(runs[0], tmp_path / 'x')
    document = load(tmp_path / 'x')
    change(document)
    if document['summary']:
        from allegro_bench.results.summary import summarise
        document['summary'], document['comparisons'] = summarise(document, tmp_path / 'x')
    write(tmp_path / 'x', document)
    assert main(['report', str(tmp_path / 'x')]) == 0
