"""The README says what the code says."""

from pathlib import Path

import pytest
from allegro_bringup import readme_tables

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_parameter_tables_are_what_the_code_would_write():
    assert readme_tables.replaced(README) == README, 'run: python -m allegro_bringup.readme_tables README.md'


def test_every_folder_of_the_picture_exists_and_the_other_way_round():
    folders = {p.parent.name for p in ROOT.glob('*/package.xml')} | {'.environment'}
    picture = README.partition('## What is where')[2].split('```')[1]
    drawn = {line.split('/')[0] for line in picture.splitlines() if line and not line.startswith(' ')}
    assert drawn == folders


def test_every_topic_is_in_the_readme():
    pytest.importorskip('rclpy')
    from allegro_description.ros.interfaces import all_topics

    for topic in all_topics(['<finger>']):
        assert f'`{topic.public_name}`' in README, topic.public_name


def test_every_console_script_of_a_node_is_in_the_readme():
    for setup in ROOT.glob('*/setup.py'):
        for line in setup.read_text().splitlines():
            if '.nodes.' in line:
                assert f'`{line.split(chr(39))[1].split(" ")[0]}`' in README, line
