"""The runner of a replay without ROS launch: what it refuses, and what it says at the end."""

import pytest
from allegro_bringup.outcome import replay_rows
from allegro_bringup.replay import main, parse
from allegro_description.errors import ConfigError


def test_the_bag_comes_first_or_by_name_but_once():
    assert parse(['somewhere', '--rate', '2']).bag == parse(['--bag', 'somewhere']).bag == 'somewhere'
    assert parse(['somewhere', '--rate', '2']).rate == 2.0
    with pytest.raises(ConfigError, match='two recordings'):
        parse(['one', '--bag', 'two'])


@pytest.mark.parametrize(('arguments', 'words'), [
    ([], 'bag is empty'), (['/nowhere'], '/nowhere'), (['/nowhere', '--policy', 'nobody'], 'nobody'),
    (['/nowhere', '--rate', '0'], 'rate')])
def test_what_cannot_be_played_is_one_sentence(arguments, words, capsys, tmp_path):
    assert main([*arguments, '--output-dir', str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count('\n') == 1


def test_nothing_is_said_of_hands_and_episodes():
    names = [name for name, _ in replay_rows({'summary': [], 'validity': {'status': 'invalid'}})]
    assert not any('held' in name or 'loop' in name or 'torque' in name for name in names)
    assert names[-1] == 'validity'
