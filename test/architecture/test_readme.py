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


def test_the_fault_table_and_its_details_are_of_one_run():
    def rows(head):
        return [[cell.strip() for cell in line.strip('|').split('|')]
                for line in README.partition(head)[2].split('\n\n')[0].splitlines()[2:]]

    worst = {}
    for _, _, fault, _, after, verdict, _ in rows('| hand | link | fault | state |'):
        assert verdict == 'safe'
        worst[fault] = max(worst.get(fault, 0.0), float(after or 0.0))
    summary = {fault: float(after or 0.0) for fault, _, _, after, _ in rows('| fault | hands × links |')}
    assert summary == worst
    assert f'slowest {max(worst.values()):g} ms' in README
