"""The HTML report: complete, self-contained, bounded in size, and safe against what nodes write into diagnostics."""

import re

import numpy as np
import pytest
from bench_session import T0, T, feed, second, session

from allegro_bench import environment, result

pytest.importorskip('plotly')

from allegro_bench import charts, report  # it needs plotly

LIMIT = 6_000_000


def made(folder, *, fill=lambda s: feed(s)):
    card = environment.describe()
    one = session()
    fill(one)
    result.write(folder, *result.build(one, card, card))
    return report.write(folder).read_text(encoding='utf-8')


def without_plotly(page):
    return page.replace(charts.get_plotlyjs(), '')


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    return made(tmp_path_factory.mktemp('report'))


def test_it_is_one_file_that_needs_no_network(page):
    own = without_plotly(page)
    assert len(page.encode()) < LIMIT
    assert page.count(charts.get_plotlyjs()) == 1
    assert not re.search(r'(src|href)\s*=\s*["\']?(https?:)?//', own)
    assert 'url(' not in own
    assert '@import' not in own


def test_every_section_is_there(page):
    own = without_plotly(page)
    for title in ('Episodes', 'Latency', 'Missed ticks', 'Driver loop', 'Policy loop', 'Processor', 'Energy', 'Touch',
                  'Torque', 'How far to believe it', 'Machine', 'How it was measured'):
        assert f'<h2>{title}</h2>' in own
    assert own.count('Plotly.newPlot') == 8
    assert '7 of 8 objects held' in own
    assert 'simulated hand' in own
    assert 'Energy source: none' in own
    assert 'no RAPL counter here' in own
    assert 'n/a (need 3688)' in own, 'a p99.9 of 2000 ticks must not be printed'


def test_an_empty_run_still_reports(tmp_path):
    own = without_plotly(made(tmp_path, fill=lambda s: None))
    assert 'INVALID' in own
    assert 'No tick was heard' in own
    assert 'nothing says whether real or simulated' in own


def test_one_tick_and_constant_times(tmp_path):
    def fill(one):
        for k in range(40):
            one.inference(T0 + k * T, T0 + k * T + 500, 'x')
            one.release(T0 + k * T, T0 + k * T + 500, str(k))
        second(one, T0 + 40 * T, 1, 40)

    assert 'Missed ticks' in made(tmp_path, fill=fill)


def test_text_from_other_nodes_is_escaped(tmp_path):
    bad = '</script><script>alert(1)</script><img src=x onerror=alert(2)>'

    def fill(one):
        feed(one, 20.0)
        one.status(f'{bad}: status', T0, {'pid': '1', 'cpu_s': '1.0', bad: '3'})
        one.status(f'{bad}: status', T0 + T, {'pid': '1', 'cpu_s': '1.5', bad: '3'})
        one.status(f'hand_driver: {bad}', T0, {f'jitter{bad}': '3.0'})
        one.status(f'hand_driver: {bad}', T0 + T, {f'jitter{bad}': '4.0'})
        one.status('grasp_policy: status', T0, {'policy': bad, bad: bad})
        one.episode('started', T0 + T, {'index': '99', 'shape': bad, 'seed': bad})
        for k in range(100, 120):
            one.inference(T0 + k * T, T0 + k * T + 500, bad)
            one.release(T0 + k * T, T0 + k * T + 500, str(k))
        second(one, T0 + 1000 * T, 1, 1000)

    own = without_plotly(made(tmp_path, fill=fill))
    assert '<script>alert' not in own
    assert '<img src' not in own


def test_long_runs_stay_small(tmp_path):
    path = tmp_path
    own = made(path, fill=lambda s: feed(s, 1200.0))
    assert len(own.encode()) < LIMIT
    assert 'The last 60 of' in own


def test_thinning_keeps_the_peaks():
    time = np.arange(100_000) / 50
    values = np.sin(time)
    values[77_777] = 9.0
    values[5] = -9.0
    t, v = charts.thin(time, values)
    assert len(t) <= charts.POINTS
    assert v.max() == 9.0
    assert v.min() == -9.0
    assert (np.diff(t) > 0).all()
    gaps = np.where(np.arange(100_000) % 40_000 < 30_000, np.nan, values)
    assert len(charts.thin(time, gaps)[0]) <= charts.POINTS
