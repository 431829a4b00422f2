"""The command line: what it prints and how it fails."""

import json

import pytest
from allegro_bench.cli import main
from bench_session import feed, session

from allegro_bench import environment, result


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('cli')
    card = environment.describe()
    result.write(path, *result.build(feed(session(), 20.0), card, card))
    return path


def test_verify_agrees_then_differs(folder, tmp_path, capsys):
    assert main(['verify', str(folder)]) == 0
    assert 'all numbers follow' in capsys.readouterr().out
    for name in ('ticks.npz', 'series.npz'):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = (folder / 'result.json').read_text()
    changed = json.loads(text)
    changed['summary'][0]['miss']['missed'] += 1
    (tmp_path / 'result.json').write_text(json.dumps(changed))
    assert main(['verify', str(tmp_path)]) == 1
    assert 'summary/0/miss/missed' in capsys.readouterr().out


def test_report_is_written(folder, capsys):
    pytest.importorskip('plotly')
    assert main(['report', str(folder)]) == 0
    assert (folder / 'report.html').stat().st_size < 6_000_000
    assert 'report.html' in capsys.readouterr().out


@pytest.mark.parametrize('command', ['report', 'verify'])
def test_a_wrong_folder_is_one_sentence_and_exit_code_2(command, tmp_path, capsys):
    assert main([command, str(tmp_path / 'nothing')]) == 2
    said = capsys.readouterr().err.strip()
    assert '\n' not in said
    assert 'inference_profiler' in said


def test_meters_say_why_not(capsys, monkeypatch):
    assert main(['meters']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} >= {'powercap', 'none'}


def test_env_has_no_host_name(capsys):
    import socket
    assert main(['env', '--json']) == 0
    card = json.loads(capsys.readouterr().out)
    assert card['cpu'].keys() == environment.describe()['cpu'].keys()
    if len(socket.gethostname()) > 3:
        assert socket.gethostname() not in json.dumps(card)
    assert main(['env']) == 0
    assert 'python' in capsys.readouterr().out


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--help'])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert 'examples:' in out
    assert 'exit codes' in out
    with pytest.raises(SystemExit) as ended:
        main(['reprot'])
    assert ended.value.code == 2


def test_environment_reads_a_given_tree(tmp_path):
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc/cpuinfo').write_text('processor\t: 0\nmodel name\t: Test CPU\nflags\t\t: fpu sse\n\n'
                                           'processor\t: 1\nmodel name\t: Test CPU\nflags\t\t: fpu sse\n')
    (tmp_path / 'proc/meminfo').write_text('MemTotal:       16000000 kB\n')
    frequency = tmp_path / 'sys/devices/system/cpu/cpu0/cpufreq'
    frequency.mkdir(parents=True)
    (frequency / 'scaling_governor').write_text('powersave\n')
    battery = tmp_path / 'sys/class/power_supply/BAT0'
    battery.mkdir(parents=True)
    (battery / 'type').write_text('Battery\n')
    (battery / 'status').write_text('Discharging\n')
    card = environment.describe(root=tmp_path, environ={'ROS_DISTRO': 'kilted'})
    assert card['cpu']['model'] == 'Test CPU'
    assert card['cpu']['cores'] == 2
    assert card['ram_gb'] == 16.4
    assert (card['virtualised'], card['power_source'], card['ros_distro']) == (False, 'battery', 'kilted')
    codes = {r['code'] for r in environment.preflight(card)}
    assert codes == {'few_cores', 'governor', 'battery'}


def test_environment_of_nothing_is_unknown_not_zero(tmp_path):
    card = environment.describe(root=tmp_path, environ={})
    assert card['cpu']['cores'] is None
    assert card['ram_gb'] is None
    assert card['virtualised'] is None
    assert card['container'] is None
    assert environment.preflight(card) == []
