"""A slow disk costs counted messages and delays nobody; a full one ends the recording; nothing is lost unsaid."""

import threading
import time

from allegro_bench.bags.recording import read_recording
from allegro_bench.recording import BagWriter
from allegro_bench.recording_queue import RecordingQueue
from bag_making import BEGIN, MS, STATE, hand_messages, ours

MESSAGES = [m for m in hand_messages(400) if m[1] == STATE and m[0] == '/joint_states']


class SlowWriter(BagWriter):
    """A disk that hangs until it is let go."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.go = threading.Event()

    def write(self, *arguments):
        self.go.wait()
        super().write(*arguments)


def test_what_goes_in_is_what_a_bag_written_directly_holds(tmp_path):
    queue = RecordingQueue(BagWriter(tmp_path / 'bag', {'hand': 'v5_sense_right'}), flush_s=0.05)
    queue.declare('/joint_states', STATE, '', [])
    for topic, _, data, received in MESSAGES:
        assert queue.put(topic, data, received)
    assert queue.close() == ''
    found, known = read_recording(tmp_path / 'bag'), read_recording(ours(tmp_path / 'direct', MESSAGES))
    assert (found.tracks['joint_states'].values == known.tracks['joint_states'].values).all()
    assert queue.counts == {'/joint_states': 400}
    assert queue.waiting_bytes == queue.dropped.total() == 0


def test_a_disk_that_hangs_delays_nobody_and_what_it_costs_is_counted(tmp_path):
    writer = SlowWriter(tmp_path / 'bag', {'hand': 'v5_sense_right'})
    room = 100 * len(MESSAGES[0][2])
    queue = RecordingQueue(writer, limit_bytes=room)
    queue.declare('/joint_states', STATE, '', [])
    began = time.perf_counter()
    taken = [queue.put(topic, data, received) for topic, _, data, received in MESSAGES]
    assert time.perf_counter() - began < 1.0
    assert taken == [True] * 100 + [False] * 300
    assert queue.dropped == {'/joint_states': 300}
    assert queue.waiting_bytes == room
    assert 'has not taken the last' in queue.close(0.1)
    writer.go.set()
    assert queue.close() == ''
    track = read_recording(tmp_path / 'bag').tracks['joint_states']
    assert ((track.stamp_ns - BEGIN) // (3 * MS)).tolist() == list(range(100))


def test_a_reason_to_stop_ends_the_recording_with_a_whole_bag(tmp_path):
    reasons = ['', 'disk almost full']
    queue = RecordingQueue(BagWriter(tmp_path / 'bag', {'hand': 'v5_sense_right'}), flush_s=0.02,
                           room=lambda _: reasons.pop(0) if len(reasons) > 1 else reasons[0])
    queue.declare('/joint_states', STATE, '', [])
    end = time.monotonic() + 10.0
    for topic, _, data, received in MESSAGES * 20:
        if queue.ended or time.monotonic() > end:
            break
        queue.put(topic, data, received)
        time.sleep(0.001)
    assert queue.ended == 'disk almost full'
    assert not queue.put('/joint_states', MESSAGES[0][2], 1)
    found = read_recording(tmp_path / 'bag')
    assert not any('bag_0' in words for words in found.damage)
    assert sum(queue.counts.values()) == len(found.tracks['joint_states'])


def test_a_topic_without_definition_is_refused_and_the_others_go_on(tmp_path):
    queue = RecordingQueue(BagWriter(tmp_path / 'bag', {'hand': 'v5_sense_right'}))
    queue.declare('/x', 'nobody_msgs/msg/Thing', '', [])
    queue.declare('/joint_states', STATE, '', [])
    queue.put('/x', b'\0\1\0\0', 1)
    queue.put('/joint_states', MESSAGES[0][2], MESSAGES[0][3])
    assert queue.close() == ''
    assert 'nobody_msgs' in queue.refused['/x']
    assert queue.counts == {'/joint_states': 1}
