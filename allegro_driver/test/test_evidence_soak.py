"""The soak's criterion, and five seconds of it."""

from __future__ import annotations

import json
import random

import pytest
from allegro_driver.evidence.soak import NOISE_KIB, Watched, line, main


def watched(rss, threads=None, files=None):
    count = len(rss)
    return Watched('x', 1, [10.0 * k for k in range(count)], list(rss), threads or [3] * count, files or [6] * count)


def test_a_line_is_found_with_its_interval():
    dice = random.Random(1)
    seconds = [10.0 * k for k in range(180)]
    fit = line(seconds, [1000.0 + 2.0 * s / 3600.0 + dice.gauss(0.0, 0.1) for s in seconds])
    assert fit.slope == pytest.approx(2.0, abs=2 * fit.margin)
    assert 0.0 < fit.margin < 0.5
    assert fit.rise == pytest.approx(1.0, abs=0.3)


def test_noise_and_small_steps_are_no_growth():
    dice = random.Random(2)
    assert watched([40000.0 + dice.gauss(0.0, 200.0) for _ in range(180)]).judged(300.0)[1] == []
    assert watched([40000.0 + (100.0 if k > 90 else 0.0) for k in range(180)]).judged(300.0)[1] == []
    assert watched([40000.0 + (5000.0 if k > 20 else 0.0) for k in range(180)]).judged(300.0)[1] == []  # warming up


def test_growth_is_found():
    leak = watched([40000.0 + 2.0 * NOISE_KIB * k / 150 for k in range(180)])
    assert 'memory' in leak.judged(300.0)[1][0]
    flat = [40000.0] * 180
    assert 'threads from 3 to 4' in watched(flat, threads=[3] * 170 + [4] * 10).judged(300.0)[1][0]
    assert 'open files from 6 to 7' in watched(flat, files=[6] * 100 + [7] * 80).judged(300.0)[1][0]


def test_a_few_seconds(tmp_path, capsys):
    file = tmp_path / 'soak.json'
    assert main(['--minutes', '0.04', '--every', '0.3', '--no-node', '--json', str(file)]) == 0
    printed = capsys.readouterr().out
    assert '| loop | ' in printed
    seen = json.loads(file.read_text())
    assert not seen['still']
    assert [process['name'] for process in seen['processes']] == ['loop', 'emulator, UDP']
    assert all(len(process['rss_kib']) >= 5 for process in seen['processes'])
