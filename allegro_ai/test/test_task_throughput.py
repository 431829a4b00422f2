"""The throughput command measures something and says on what."""

import json

from allegro_ai.tasks.throughput import main


def test_the_command_reports_rates_and_the_machine(capsys):
    assert main(['--environments', '4', '--threads', '1', '--seconds', '0.5', '--json']) == 0
    result = json.loads(capsys.readouterr().out)
    assert result['environments'] == 4
    assert result['threads'] == 1
    assert result['mean_contacts'] > 2.0                    # firm grasps, or the number means little
    # the task cannot be faster than its physics; generously, other processes take turns
    assert 0 < result['control_steps_per_s'] < 2.0 * result['mj_step_threads_control_steps_per_s']
    assert result['rollout_control_steps_per_s'] > 0
    assert result['machine']


def test_nonsense_is_one_sentence(capsys):
    assert main(['--environments', '0']) == 2
    assert 'above 0' in capsys.readouterr().err
