"""Real-time wishes: granted or refused, they are reported and taken back."""

import gc
import os
import sys
import threading

from allegro_driver.realtime import PunctualProcess, prepare_thread


def test_a_process_gets_everything_back():
    before = sys.getswitchinterval(), gc.get_freeze_count(), os.getpriority(os.PRIO_PROCESS, 0)
    with PunctualProcess() as process:
        assert sys.getswitchinterval() <= 0.0005
        assert gc.get_freeze_count() > 0
        assert os.getpriority(os.PRIO_PROCESS, 0) <= before[2]
        assert len(process.report) == 2
    assert (sys.getswitchinterval(), gc.get_freeze_count(), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_a_thread_is_told_what_it_got():
    seen = {}

    def run():
        seen['report'] = prepare_thread(10)
        seen['policy'] = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ('SCHED_FIFO 10' in seen['report']) == (seen['policy'] == os.SCHED_FIFO)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER  # only that thread
