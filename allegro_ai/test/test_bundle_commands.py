"""`allegro-ai bundle …`: each command on the command line, what it prints, writes and refuses."""

import pytest
from ai_bundles import changed, sound_files, write_random_bundle
from allegro_ai.archive import write_folder
from allegro_ai.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a bundle ``a`` and no trust store of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('ALLEGRO_TRUSTED_KEYS', str(tmp_path / 'no_store'))
    write_folder(sound_files(), tmp_path / 'a')
    return tmp_path


def run(capsys, *arguments):
    """Exit code, output, errors."""
    code = main(['bundle', *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_sign_check_tamper(here, capsys):
    pytest.importorskip('cryptography')
    assert run(capsys, 'key', 'keys/lab', '--name', 'the lab')[0] == 0
    code, said, _ = run(capsys, 'sign', 'a', '--key', 'keys/lab')
    assert code == 0
    assert 'random_linear-0.0.1' in said
    required = ('check', 'a', '--require-signature', '--trusted', 'keys/lab.pub', '--warmup', '5')
    code, said, _ = run(capsys, *required)
    assert code == 0
    assert 'signed by the lab' in said
    assert 'fingerprint' in said
    (here / 'a/LICENSE').write_text('mine')
    assert 'LICENSE was altered' in run(capsys, *required)[2]
    signature = (here / 'a/SHA256SUMS.minisig').read_bytes()
    for name, data in changed(lambda d: d['safety'].update(max_tip_kpa=900.0)).items():
        (here / 'a' / name).write_bytes(data)
    assert (here / 'a/SHA256SUMS.minisig').read_bytes() == signature
    code, said, error = run(capsys, *required)
    assert (code, said) == (2, '')
    assert 'altered after it was signed' in error
    assert run(capsys, 'check', 'a', '--require-signature')[0] == 2, 'no trust store'
    assert run(capsys, 'check', 'a', '--warmup', '5')[0] == 0, 'nobody asked for a signature'


def test_keys_and_comments_that_do_not_fit_are_refused(here, capsys):
    pytest.importorskip('cryptography')
    assert 'must not lie in a bundle' in run(capsys, 'key', 'a/lab')[2]
    assert run(capsys, 'key', 'lab')[0] == 0
    assert 'never overwritten' in run(capsys, 'key', 'lab')[2]
    (here / 'a/lab.md').write_bytes((here / 'lab').read_bytes())
    assert 'not listed' in run(capsys, 'sign', 'a', '--key', 'a/lab.md')[2]
    (here / 'a/lab.md').unlink()
    assert 'cannot be read' in run(capsys, 'sign', 'tactile_hold_linear', '--key', 'nowhere')[2]
    assert 'one line' in run(capsys, 'sign', 'a', '--key', 'lab', '--comment', 'two\nlines')[2]
    assert not (here / 'a/SHA256SUMS.minisig').exists()


def test_pack_and_unpack(here, capsys):
    assert run(capsys, 'pack', 'a')[0] == 0
    assert (here / 'random_linear-0.0.1.tar.zst').is_file()
    assert 'exists already' in run(capsys, 'pack', 'a')[2]
    assert 'does not end' in run(capsys, 'pack', 'a', '--out', 'x.zip')[2]
    assert run(capsys, 'check', 'random_linear-0.0.1.tar.zst', '--warmup', '5')[0] == 0
    assert run(capsys, 'unpack', 'random_linear-0.0.1.tar.zst')[0] == 0
    assert run(capsys, 'diff', 'a', 'random_linear-0.0.1')[0] == 0
    assert 'exists' in run(capsys, 'unpack', 'random_linear-0.0.1.tar.zst')[2]
    assert 'unpack it first' in run(capsys, 'card', 'random_linear-0.0.1.tar.zst', '--write')[2]
    (here / 'a/golden.npz').unlink()
    assert 'golden.npz is missing' in run(capsys, 'pack', 'a', '--out', 'b.tar.zst')[2]


def test_diff_says_what_changed_and_its_exit_code_that_something_did(here, capsys):
    write_random_bundle(here / 'b', seed=1, rate_hz=25.0)
    code, said, _ = run(capsys, 'diff', 'a', 'b')
    assert code == 1
    assert 'runtime.rate_hz: 50 → 25' in said
    assert 'weights finger_weights' in said
    code, said, _ = run(capsys, 'diff', 'a', 'a')
    assert code == 0
    assert 'no difference' in said


def test_a_card_is_made_again_from_the_numbers(here, capsys):
    before = (here / 'a/MODEL_CARD.md').read_bytes()
    assert 'nothing was changed' in run(capsys, 'card', 'a', '--write')[1]
    from allegro_ai.export import to_yaml
    from allegro_ai.integrity import renewed
    forged = renewed({**sound_files(), 'MODEL_CARD.md': b'100 % success'}, to_yaml)
    for name, data in forged.items():
        (here / 'a' / name).write_bytes(data)
    assert '100 % success' in run(capsys, 'card', 'a')[1]
    assert 'hashes made again' in run(capsys, 'card', 'a', '--write')[1]
    assert (here / 'a/MODEL_CARD.md').read_bytes() == before
    assert run(capsys, 'check', 'a', '--warmup', '5')[0] == 0


def test_unrecorded_precisions_and_workloads_are_said(here, capsys):
    assert 'golden.tolerances names no onnxruntime/int8_dynamic' in \
        run(capsys, 'check', 'a', '--precision', 'int8_dynamic')[2]
    write_folder(changed(lambda d: d.update(kind='workload')), here / 'w')
    assert 'a workload with random weights' in run(capsys, 'check', 'w', '--warmup', '5')[1]
