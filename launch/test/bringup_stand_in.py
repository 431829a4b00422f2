"""A tiny process that stands where a node or the emulated hand would: ``bringup_stand_in.py NAME FOLDER [BEHAVIOUR]``.

It notes in ``FOLDER/order.txt`` when it starts and when it is asked to stop. Behaviours: ``die`` (exit code 3 after a
moment, with last words), ``deaf`` (ignores SIGINT and SIGTERM), ``through`` (writes an episode and ends well).
"""

import os
import signal
import sys
import time

name, folder, behaviour = sys.argv[1], sys.argv[2], (sys.argv[3:] or [''])[0]


def note(word: str) -> None:
    with open(os.path.join(folder, 'order.txt'), 'a') as file:
        file.write(f'{word} {name}\n')


def stop(number: int, frame: object) -> None:
    note('stop')
    if name == 'inference_profiler':
        time.sleep(0.2)
    note('end')
    sys.exit(0)


deaf = behaviour == 'deaf'
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN if deaf else stop)
note('start')
if name == 'hand_emulator':
    time.sleep(0.2)
    note('ready')
    print('{"wire_port": 1, "control_port": 2}', flush=True)
if behaviour == 'die':
    time.sleep(0.3)
    print('[ERROR] [1.0] [x]: the cable is out', flush=True)
    sys.exit(3)
if behaviour == 'through':
    print('{"event": "finished", "index": 1, "held": true}', flush=True)
    time.sleep(0.3)
    sys.exit(0)
while True:
    time.sleep(0.05)
