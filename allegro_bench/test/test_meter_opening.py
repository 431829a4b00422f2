"""Opening meters and closing them again, and who may read which."""

import json
import shutil
import subprocess
import sys

import pytest
from allegro_bench.meters import METERS
from allegro_bench.meters.opening import open_meters
from allegro_description.errors import ConfigError
from allegro_description.share import share_dir

from allegro_bench import cli


def test_auto_takes_every_source_once(monkeypatch, tmp_path):
    class Works:
        channels, reason, guard_s = (), '', 1.0

        def close(self):
            pass

    opened = []
    real = METERS.load

    def load(name):
        kind = real(name) if name in ('external', 'csv', 'zeus', 'estimate', 'none') else Works
        opened.append(name)
        return kind

    monkeypatch.setattr(METERS, 'load', load)
    assert len(open_meters('auto')) == 5
    assert 'perf' not in opened, 'the same counters as powercap'


def test_what_was_opened_is_closed_when_the_next_fails(monkeypatch):
    closed = []

    class Works:
        channels, reason, guard_s = (), '', 1.0

        def close(self):
            closed.append(1)

    real = METERS.load
    monkeypatch.setattr(METERS, 'load', lambda name: Works if name == 'perf' else real(name))
    with pytest.raises(ConfigError):
        open_meters('perf,estimate')
    assert closed == [1]


WRITER = """
import pathlib, subprocess, sys, threading, time
zone = pathlib.Path('/sys/class/powercap/intel-rapl:0')
zone.mkdir(parents=True)
(zone / 'name').write_text('package-0')
(zone / 'max_energy_range_uj').write_text('262143328850')
begin, done = time.monotonic(), threading.Event()
def write():
    while not done.wait(0.002):
        (zone / 'next').write_text(str(5000000 + round((time.monotonic() - begin) * 20e6)))
        (zone / 'next').replace(zone / 'energy_uj')
thread = threading.Thread(target=write)
thread.start()
time.sleep(0.05)
code = subprocess.run([sys.executable, '-m', 'allegro_bench.cli', 'meters', '--watch', '1', '--json']).returncode
done.set()
thread.join()
sys.exit(code)
"""


def test_the_unmodified_command_below_a_made_up_sys():
    """In a mount namespace of its own: /sys/class is a fake there, and nothing is told where to look."""
    if shutil.which('unshare') is None:
        pytest.skip('no unshare')
    done = subprocess.run(['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs none /sys/class && exec "$@"', 'sh',
                           sys.executable, '-c', WRITER], capture_output=True, text=True, check=False)
    if 'unshare' in done.stderr or 'mount:' in done.stderr:
        pytest.skip('no mount namespaces here')
    assert done.returncode == 0, done.stderr
    row, = json.loads(done.stdout)
    assert (row['id'], row['boundary'], row['quality']) == ('package-0', 'cpu_package', 'measured')
    assert row['watts'] == pytest.approx(20.0, rel=0.2), row['problem']


def test_the_rule_grants_a_group_and_nobody_else():
    rule = (share_dir('allegro_bench') / 'rules/70-allegro-energy.rules').read_text()
    active = [line for line in rule.splitlines() if line and not line.startswith('#')]
    assert len(active) == 2
    for line in active:
        assert 'chgrp power' in line
        assert 'chmod g+r' in line
        assert line.index('chgrp') < line.index('chmod')
    assert 'o+r' not in rule
    assert 'a+r' not in rule
    head = rule[:rule.index('ACTION')]
    for said in ('CVE-2020-8694', 'what others compute', 'never widen it to all users', 'usermod', 'udevadm'):
        assert said in head
    other = (share_dir('allegro_bench') / 'rules/allegro-energy.conf').read_text()
    assert ' 0440 root power ' in other


def test_the_command_says_for_each_meter_what_is_missing(capsys):
    assert cli.main(['meters', '--json']) == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(METERS.names())
    for name, row in rows.items():
        assert row['words'], name
        if row['works'] is False:
            assert len(row['words']) > 20
    assert rows['external']['works'] is None
    assert cli.main(['meters', '--rule']) == 0
    assert 'chgrp power' in capsys.readouterr().out
    assert cli.main(['meters', '--watch', '0.5', 'estimate:3']) == 0
    shown = capsys.readouterr().out
    assert 'estimated' in shown
    assert 'estimate:' in shown
    assert cli.main(['meters', '--watch', '0.5', 'none']) == 0
    assert capsys.readouterr().out.startswith('none')
    assert cli.main(['meters', '--watch', '-1']) == 2
    assert 'allowed' in capsys.readouterr().err
