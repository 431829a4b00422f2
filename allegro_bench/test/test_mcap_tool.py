"""What the comparison with MCAP's own command line finds; the tool itself is pretended here, as it is no package."""

from __future__ import annotations

import stat
import sys

import pytest
from allegro_bench.evidence.mcap_tool import COPIES, check, main
from allegro_description.errors import ConfigError
from allegro_description.share import share_dir

SLIP = share_dir('allegro_bench') / 'datasets' / 'emulated_hand' / 'slip' / 'slip_0.mcap'

TOOL = """#!{python}
import sys
from pathlib import Path

word, words = sys.argv[1], sys.argv[2:]
if word == 'version':
    print('pretended')
elif word == 'doctor':
    whole = Path(words[-1]).read_bytes().endswith(b'\\x89MCAP0\\r\\n')
    print('' if {credulous} or whole else 'no footer')
elif '-o' in words:
    source = Path(next(w for w in words if w.endswith('.mcap')))
    data = source.read_bytes()
    Path(words[words.index('-o') + 1]).write_bytes(data[:len(data) // 2] if word == {lossy!r} else data)
"""


@pytest.fixture
def tool(tmp_path):
    def make(lossy='', credulous=False):
        path = tmp_path / 'mcap'
        path.write_text(TOOL.format(python=sys.executable, lossy=lossy, credulous=credulous))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)
    return make


def test_copies_that_hold_the_same_are_counted(tool, capsys):
    assert main([str(SLIP), '--tool', tool()]) == 0
    said = capsys.readouterr().out
    assert 'mcap pretended' in said
    assert said.count('messages, the same') == len(COPIES) + 1
    assert '| slip_0.mcap | sort | 2721 messages, the same |' in said


def test_a_copy_that_lost_messages_is_found(tool):
    with pytest.raises(ConfigError, match='does not hold what'):
        check(tool(lossy='sort'), SLIP)


def test_a_doctor_that_never_objects_proves_nothing(tool):
    with pytest.raises(ConfigError, match='means little'):
        check(tool(credulous=True), SLIP)


def test_a_tool_that_is_absent_is_said(capsys):
    assert main(['--tool', 'no_such_mcap']) == 2
    assert 'https://mcap.dev' in capsys.readouterr().err
