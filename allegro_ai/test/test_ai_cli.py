import subprocess
import sys

import pytest
from ai_bundles import write_random_bundle
from allegro_ai.cli import main


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_random_bundle(tmp_path_factory.mktemp('cli') / 'random_linear').path


@pytest.mark.parametrize('backend', ['onnxruntime', 'numpy'])
def test_check_says_what_was_checked(folder, capsys, backend):
    assert main(['bundle', 'check', str(folder), '--backend', backend, '--warmup', '10']) == 0
    said = capsys.readouterr().out
    for part in ('random_linear-0.0.1', 'golden vectors | agree', 'not validated on hardware', backend, '9 files'):
        assert part in said


def test_check_does_not_claim_what_was_not_checked(folder, capsys):
    assert main(['bundle', 'check', str(folder), '--backend', 'null', '--warmup', '10']) == 0
    assert 'golden vectors | not checked' in capsys.readouterr().out


def test_card_is_printed_only_when_unaltered(folder, capsys, tmp_path):
    import shutil
    assert main(['bundle', 'card', str(folder)]) == 0
    assert capsys.readouterr().out == (folder / 'MODEL_CARD.md').read_text()
    copy = shutil.copytree(folder, tmp_path / 'copy')
    (copy / 'MODEL_CARD.md').write_text('100 % success')
    assert main(['bundle', 'card', str(copy)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'MODEL_CARD.md was altered' in captured.err


def test_errors_are_one_sentence(capsys, tmp_path):
    for arguments in (['bundle', 'check', 'no_such'], ['bundle', 'check', str(tmp_path)],
                      ['bundle', 'check', str(tmp_path), '--side', 'left']):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith('allegro-ai: ')
        assert error.count('\n') == 1


def test_list_names_backends_and_hands(capsys):
    assert main(['list']) == 0
    said = capsys.readouterr().out
    assert 'onnxruntime' in said
    assert 'v5_sense_right' in said


def test_light_commands_do_not_load_the_simulator():
    code = ('import sys; from allegro_ai.cli import main; main(["list"]); '
            'bad = {"mujoco", "rclpy", "onnx", "onnxruntime", "torch"} & set(sys.modules); '
            'sys.exit(f"loaded {bad}" if bad else 0)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(['--help'])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    for name in ('list', 'bundle', 'train', 'evaluate', 'publish'):
        assert name in said
