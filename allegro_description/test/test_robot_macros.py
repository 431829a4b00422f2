"""The xacro files are the hands' URDF, up to date, well-formed for the tools that read them."""

import shutil
import subprocess
from xml.etree import ElementTree

import pytest
from allegro_description.model import available_hands, load_hand
from allegro_description.robot_macros import NAMESPACE, build_macro, macro_name, main
from allegro_description.share import share_dir
from allegro_description.urdf import build_urdf

HANDS = available_hands()
FOLDER = share_dir() / 'xacro'
MACRO, IF, CALL = (f'{{{NAMESPACE}}}{tag}' for tag in ('macro', 'if', 'call'))


@pytest.fixture(params=HANDS)
def hand(request):
    return load_hand(*request.param.rsplit('_', 1))


def plain(element):
    """Tags, attributes and children, without the white space of the layout."""
    return element.tag, dict(element.attrib), [plain(child) for child in element]


def test_the_shipped_files_are_what_the_command_writes(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    written = {p.name: p.read_text() for p in tmp_path.iterdir()}
    shipped = {p.name: p.read_text() for p in FOLDER.glob('allegro_*_*.urdf.xacro')}
    assert written == shipped, 'run: python -m allegro_description.robot_macros allegro_description/xacro'
    assert len(capsys.readouterr().out.splitlines()) == len(HANDS)


@pytest.mark.parametrize('arguments', [[], ['no/such/folder'], ['a', 'b']])
def test_without_a_folder_nothing_is_written(arguments, capsys):
    assert main(arguments) == 2
    assert 'usage' in capsys.readouterr().err


@pytest.mark.parametrize('prefix', ['', 'left_'])
def test_a_macro_with_its_prefix_filled_in_is_the_urdf(hand, prefix):
    macro = ElementTree.fromstring(build_macro(hand).replace('${prefix}', prefix)).find(MACRO)
    assert macro.get('name') == macro_name(hand)
    described = ElementTree.fromstring(build_urdf(hand, prefix))
    assert [plain(e) for e in macro if e.tag != IF] == [plain(e) for e in described]


def test_a_macro_mounts_the_palm_only_where_a_parent_is_given(hand):
    mount = ElementTree.fromstring(build_macro(hand)).find(MACRO).find(IF)
    assert mount.get('value') == "${parent != ''}"
    joint = mount.find('joint')
    assert joint.find('child').get('link') == '${prefix}' + hand.palm
    assert joint.get('name') not in {j.get('name') for j in ElementTree.fromstring(build_urdf(hand, '${prefix}'))}


def test_the_front_file_names_files_and_macros_by_the_same_rule():
    root = ElementTree.parse(FOLDER / 'allegro_hand.urdf.xacro').getroot()
    (call,) = root.iter(CALL)
    for name in HANDS:
        model, side = name.rsplit('_', 1)
        filled = call.get('macro').replace('$(arg model)', model).replace('$(arg side)', side)
        assert filled == macro_name(load_hand(model, side))
        assert (FOLDER / f'{filled}.urdf.xacro').is_file()


def test_check_urdf_accepts_every_hand(hand, tmp_path):
    if shutil.which('check_urdf') is None:
        pytest.skip('check_urdf is not installed (Debian: liburdfdom-tools)')
    path = tmp_path / 'hand.urdf'
    path.write_text(build_urdf(hand, 'left_'))
    done = subprocess.run(['check_urdf', path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    tree = [line.partition(':')[2].strip() for line in done.stdout.splitlines() if 'child(' in line and '):' in line]
    links = {'left_' + link.name for link in hand.links} | {'left_' + f.name for f in hand.frames}
    assert set(tree) == links - {'left_' + hand.palm}


def test_xacro_makes_the_same_urdf(hand, tmp_path):
    if shutil.which('xacro') is None:
        pytest.skip('xacro is not installed (pip install xacro)')
    done = subprocess.run(
        ['xacro', FOLDER / 'allegro_hand.urdf.xacro', f'model:={hand.model}', f'side:={hand.side}', 'prefix:=a_'],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made = [plain(e) for e in ElementTree.fromstring(done.stdout)]
    assert made == [plain(e) for e in ElementTree.fromstring(build_urdf(hand, 'a_'))]
