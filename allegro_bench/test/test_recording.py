"""Bags: what is written is what a rosbag2 reader finds, also after the recorder was killed or the disk was full."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from allegro_bench.bag_format import Definitions, offered_qos
from allegro_bench.bags.recovery import recover
from allegro_bench.recording import BagWriter
from allegro_description.errors import ConfigError, LinkError
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
TEXT = 'std_msgs/msg/String'
JOINTS = 'sensor_msgs/msg/JointState'


def text(value):
    return bytes(STORE.serialize_cdr(STORE.types[TEXT](data=value), TEXT))


def words(folder):
    with AnyReader([folder]) as reader:
        found = [(stamp, reader.deserialize(raw, c.msgtype).data) for c, stamp, raw in reader.messages()]
        assert reader.message_count == len(found)
    return found


def metadata(folder):
    return yaml.safe_load((folder / 'metadata.yaml').read_text())['rosbag2_bagfile_information']


def write(folder, count, **how):
    with BagWriter(folder, {'hand': 'v5_sense_right'}, **how) as bag:
        bag.add_topic('/words', TEXT)
        bag.add_topic('/silent', JOINTS)
        for k in range(count):
            bag.write('/words', text(f'word {k}'), 1_000_000_000 + k, 999_999_999 + k)


def test_a_bag_reads_back_message_for_message(tmp_path):
    folder = tmp_path / 'bag'
    write(folder, 500)
    assert words(folder) == [(1_000_000_000 + k, f'word {k}') for k in range(500)]
    with Reader(folder) as reader:
        kinds = {c.topic: (c.msgtype, c.digest, c.msgcount) for c in reader.connections}
    assert kinds == {'/words': (TEXT, STORE.hash_rihs01(TEXT), 500), '/silent': (JOINTS, STORE.hash_rihs01(JOINTS), 0)}


def test_what_rosbag2_reads_beside_the_messages_is_there_twice_and_agrees(tmp_path):
    folder = tmp_path / 'bag'
    write(folder, 100)
    info = metadata(folder)
    assert info['version'] == 9
    assert info['storage_identifier'] == 'mcap'
    assert info['custom_data'] == {'hand': 'v5_sense_right'}
    assert info['message_count'] == info['files'][0]['message_count'] == 100
    assert info['duration']['nanoseconds'] == 99
    assert info['starting_time']['nanoseconds_since_epoch'] == 1_000_000_000
    assert '&' not in (folder / 'metadata.yaml').read_text()
    with (folder / 'bag_0.mcap').open('rb') as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert reader.get_header().profile == 'ros2'
        records = [yaml.safe_load(m.metadata['serialized_metadata']) for m in reader.iter_metadata()
                   if m.name == 'rosbag2']
        channels = {c.topic: c.metadata for c in reader.get_summary().channels.values()}
        sent = [(m.log_time, m.publish_time) for _, _, m in reader.iter_messages()]
    assert [r['message_count'] for r in records] == [0, 100]
    assert records[-1] == info
    assert channels['/words']['topic_type_hash'] == STORE.hash_rihs01(TEXT)
    qos = yaml.safe_load(channels['/words']['offered_qos_profiles'])
    assert qos == info['topics_with_message_count'][0]['topic_metadata']['offered_qos_profiles'] == [offered_qos()]
    assert qos[0]['deadline'] == {'sec': 9223372036, 'nsec': 854775807}
    assert sent[0] == (1_000_000_000, 999_999_999)


def test_an_existing_bag_is_never_overwritten(tmp_path):
    write(tmp_path / 'bag', 3)
    with pytest.raises(ConfigError, match='choose another'):
        BagWriter(tmp_path / 'bag')
    assert len(words(tmp_path / 'bag')) == 3


def test_an_empty_bag_is_a_bag_and_closing_twice_is_harmless(tmp_path):
    bag = BagWriter(tmp_path / 'bag')
    bag.close()
    bag.close()
    with Reader(tmp_path / 'bag') as reader:
        assert list(reader.messages()) == []


def test_a_definition_is_found_by_its_hash_or_not_at_all(tmp_path):
    definitions = Definitions()
    definition, digest = definitions.find(JOINTS)
    assert 'float64[] effort' in definition
    assert definitions.find(JOINTS, digest) == (definition, digest)
    with pytest.raises(ConfigError, match='RIHS01_00'):
        definitions.find(JOINTS, 'RIHS01_00')
    with BagWriter(tmp_path / 'bag') as bag, pytest.raises(ConfigError):
        bag.add_topic('/x', 'nobody_msgs/msg/Thing')


KILLED = '''
import os, sys, time
from pathlib import Path
from allegro_bench.recording import BagWriter
bag = BagWriter(Path(sys.argv[1]), {'hand': 'x'})
bag.add_topic('/words', 'std_msgs/msg/String')
for k in range(100000):
    bag.write('/words', b"\\0\\1\\0\\0" + (400).to_bytes(4, 'little') + os.urandom(399) + b"\\0", time.time_ns())
    if k % int(sys.argv[2]) == 0:
        bag.flush()
        print(k + 1, flush=True)
    time.sleep(0.0005)
'''


@pytest.mark.parametrize('every', [20, 2000])
def test_kill_minus_nine_costs_what_was_not_flushed(tmp_path, every):
    folder = tmp_path / 'bag'
    child = subprocess.Popen([sys.executable, '-c', KILLED, str(folder), str(every)], stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        flushed = int(line)
        if flushed > 2000:
            break
    os.kill(child.pid, signal.SIGKILL)
    flushed = max([flushed, *(int(line) for line in child.stdout)])
    child.wait()
    outcome = recover(folder)
    assert not outcome.complete
    assert outcome.reason
    assert outcome.messages >= flushed
    with Reader(folder) as reader:
        assert sum(1 for _ in reader.messages()) == reader.message_count == outcome.messages
        assert reader.connections[0].digest == STORE.hash_rihs01(TEXT)
    assert metadata(folder)['custom_data'] == {'hand': 'x'}
    assert len(list(folder.glob('*.damaged'))) == 1
    assert recover(folder).complete
    assert not (tmp_path / 'bag.recovering').exists()


def test_a_bag_cut_anywhere_gives_back_a_beginning(tmp_path):
    write(tmp_path / 'bag', 600, chunk_bytes=2048)
    whole = (tmp_path / 'bag' / 'bag_0.mcap').read_bytes()
    known, last = [f'word {k}' for k in range(600)], 0
    for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        folder = tmp_path / f'cut_{share}'
        folder.mkdir()
        (folder / 'bag_0.mcap').write_bytes(whole[:int(share * len(whole))])
        outcome = recover(folder)
        found = [w for _, w in words(folder)]
        assert found == known[:outcome.messages]
        assert outcome.messages >= last
        last = outcome.messages
    assert last == 600


def test_damage_in_the_middle_costs_what_is_damaged_and_nothing_else(tmp_path):
    folder = tmp_path / 'bag'
    write(folder, 600, chunk_bytes=2048)
    path = folder / 'bag_0.mcap'
    data = bytearray(path.read_bytes())
    data[len(data) // 3:len(data) // 3 + 200] = bytes(200)
    path.write_bytes(data)
    outcome = recover(folder)
    assert not outcome.complete
    found = [int(w.split()[1]) for _, w in words(folder)]
    assert 500 < len(found) < 600
    assert found == sorted(set(found))
    assert {0, 1, 598, 599} <= set(found)
    assert len(found) == outcome.messages == metadata(folder)['message_count']


@pytest.mark.parametrize('how', [{'split_bytes': 12000, 'compression': 'none'}, {'split_s': 50e-9}])
def test_a_split_bag_is_one_bag(tmp_path, how):
    folder = tmp_path / 'bag'
    write(folder, 600, chunk_bytes=512, **how)
    info = metadata(folder)
    assert len(info['files']) > 3
    assert info['relative_file_paths'] == [f['path'] for f in info['files']] == [
        f'bag_{k}.mcap' for k in range(len(info['files']))]
    assert sum(f['message_count'] for f in info['files']) == info['message_count'] == 600
    assert words(folder) == [(1_000_000_000 + k, f'word {k}') for k in range(600)]
    assert recover(folder).complete


def test_of_a_split_bag_only_the_damaged_file_is_written_again(tmp_path):
    folder = tmp_path / 'bag'
    write(folder, 600, chunk_bytes=512, split_s=200e-9)
    last = folder / 'bag_2.mcap'
    last.write_bytes(last.read_bytes()[:-300])
    (folder / 'metadata.yaml').unlink()
    before = (folder / 'bag_1.mcap').stat().st_mtime_ns
    outcome = recover(folder)
    assert not outcome.complete
    assert outcome.messages == 600
    assert (folder / 'bag_1.mcap').stat().st_mtime_ns == before
    assert [p.name for p in folder.glob('*.damaged')] == ['bag_2.mcap.damaged']
    assert len(words(folder)) == 600


def test_facts_that_become_known_later_are_in_the_metadata_also_after_a_crash(tmp_path):
    bag = BagWriter(tmp_path / 'bag', {'hand': 'x'})
    bag.tell({'serial': '5SBR0001'})
    (tmp_path / 'copy').mkdir()
    (tmp_path / 'copy' / 'copy_0.mcap').write_bytes((tmp_path / 'bag' / 'bag_0.mcap').read_bytes())
    bag.close()
    recover(tmp_path / 'copy')
    for folder in ('bag', 'copy'):
        assert metadata(tmp_path / folder)['custom_data'] == {'hand': 'x', 'serial': '5SBR0001'}


def test_recovering_nothing_or_nonsense_is_one_sentence_and_touches_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r'no \.mcap'):
        recover(tmp_path)
    (tmp_path / 'a.mcap').write_bytes(b'hello')
    with pytest.raises(ConfigError, match='like an MCAP file'):
        recover(tmp_path)
    assert (tmp_path / 'a.mcap').read_bytes() == b'hello'
    command = [sys.executable, '-m', 'allegro_bench.recording', str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='no /dev/full on this system')
def test_a_full_disk_is_one_sentence_and_what_was_written_stays(tmp_path):
    folder = tmp_path / 'bag'
    bag = BagWriter(folder, chunk_bytes=2048)
    bag.add_topic('/words', TEXT)
    for k in range(300):
        bag.write('/words', text(f'word {k}'), k + 1)
    bag.flush()
    full = os.open('/dev/full', os.O_WRONLY)
    os.dup2(full, bag._open.stream.fileno())  # from here on every write says: no space left on device
    os.close(full)

    def fill():
        for k in range(300, 3000):
            bag.write('/words', text(f'word {k}'), k + 1)

    with pytest.raises(LinkError, match='No space left') as caught:
        fill()
    assert 'python -m allegro_bench.recording' in str(caught.value)
    with pytest.raises(LinkError):
        bag.write('/words', text('late'), 1)
    bag.flush()
    bag.close()
    outcome = recover(folder)
    assert outcome.messages >= 300
    assert [w for _, w in words(folder)] == [f'word {k}' for k in range(outcome.messages)]


def test_a_thousand_messages_take_well_under_a_second(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.add_topic('/words', TEXT)
        data, start = text('x' * 300), time.process_time()
        for k in range(1000):
            bag.write('/words', data, k + 1)
        assert time.process_time() - start < 1.0
