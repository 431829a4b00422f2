"""Bags: what is written is what a rosbag2 reader finds, also after the recorder was killed."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from allegro_bench.recording import BagWriter, recover
from allegro_description.errors import ConfigError
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
TEXT = 'std_msgs/msg/String'


def text(value):
    return bytes(STORE.serialize_cdr(STORE.types[TEXT](data=value), TEXT))


def test_a_bag_reads_back_message_for_message(tmp_path):
    folder = tmp_path / 'bag'
    with BagWriter(folder, {'hand': 'v5_sense_right'}) as bag:
        bag.add_topic('/words', TEXT)
        bag.add_topic('/silent', 'sensor_msgs/msg/JointState')
        for k in range(500):
            bag.write('/words', text(f'word {k}'), 1_000_000_000 + k, 999_999_999 + k)
    with Reader(folder) as reader:
        found = [(stamp, STORE.deserialize_cdr(raw, c.msgtype).data) for c, stamp, raw in reader.messages()]
        kinds = {c.topic: (c.msgtype, c.digest) for c in reader.connections}
        assert reader.message_count == len(found) == 500
    assert found == [(1_000_000_000 + k, f'word {k}') for k in range(500)]
    assert kinds['/words'] == (TEXT, STORE.hash_rihs01(TEXT))
    assert kinds['/silent'][0] == 'sensor_msgs/msg/JointState'
    info = yaml.safe_load((folder / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert info['version'] == 9
    assert info['custom_data'] == {'hand': 'v5_sense_right'}


def test_an_existing_bag_is_never_overwritten(tmp_path):
    with BagWriter(tmp_path / 'bag'):
        pass
    with pytest.raises(ConfigError, match='choose another'):
        BagWriter(tmp_path / 'bag')


def test_closing_twice_is_harmless(tmp_path):
    bag = BagWriter(tmp_path / 'bag')
    bag.close()
    bag.close()


def test_kill_minus_nine_loses_at_most_the_last_chunks(tmp_path):
    folder = tmp_path / 'bag'
    program = f'''
import os, time
from pathlib import Path
from allegro_bench.recording import BagWriter
bag = BagWriter(Path({str(folder)!r}))
bag.add_topic('/words', {TEXT!r})
k = 0
while True:
    for _ in range(50):
        bag.write('/words', b"\\0\\1\\0\\0" + (400).to_bytes(4, 'little') + os.urandom(399) + b"\\0", time.time_ns())
        k += 1
    print(k, flush=True)
    time.sleep(0.01)
'''
    child = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True)
    written = 0
    for line in child.stdout:
        written = int(line)
        if written >= 2000:
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    saved = recover(folder)
    # one chunk of 64 KiB holds about 150 of these messages, the file buffer a little more
    assert written - 400 <= saved
    with Reader(folder) as reader:
        assert sum(1 for _ in reader.messages()) == reader.message_count == saved
    assert list(folder.glob('*.damaged'))


def test_recovering_nothing_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match='no \\.mcap'):
        recover(tmp_path)


def test_a_thousand_messages_take_well_under_a_second(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.add_topic('/words', TEXT)
        data, start = text('x' * 300), time.process_time()
        for k in range(1000):
            bag.write('/words', data, k + 1)
        assert time.process_time() - start < 1.0
