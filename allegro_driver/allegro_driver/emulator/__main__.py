"""Command line of the emulator: ``python -m allegro_driver.emulator`` or ``hand_emulator``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence

from allegro_description.config import from_mapping, parameters
from allegro_description.errors import AllegroError
from allegro_description.model import available_hands

from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.fault_table import describe
from allegro_driver.realtime import prepare_thread

REALTIME_PRIORITY = 70
"""Above the driver's control thread: telemetry must not wait for what it paces."""

ABOUT = """A simulated Allegro Hand that answers on the wire, byte for byte as the vendor's protocols have it: V5 Sense
over UDP or CAN; V4, V5, V5 3-finger and Plexus over CAN.

Start it, then connect a driver as if it were a hand. When it is ready it prints one line of JSON with its ports, or
with the address for a CAN driver. End it with Ctrl-C."""

EXAMPLES = """faults (--fault may be given several times; a wire or hand that cannot have one says which it can):
{faults}

hands: {hands}; --side left for the left ones

examples:
  hand_emulator                                     V5 Sense on UDP 127.0.0.1:7000, control on 7001
  hand_emulator --port 0 --control-port 0           free ports, printed when ready
  hand_emulator --model v4                          on a pseudo-terminal; connect to the address it prints
  hand_emulator --model v4 --wire socketcan:vcan0 --device-id 1     the second V4 on a CAN bus
  hand_emulator --model v5_b --pty-link /tmp/hand   always at slcan:/tmp/hand
  hand_emulator --model v5_a --fingertip-ids old --answers-info no  as firmware before 1.2
  hand_emulator --model v5_sense --wire slcan       the V5 Sense with its switch on CAN
  hand_emulator --model v5_3f --physics simple      without MuJoCo: joints only
  hand_emulator --model plexus                      device number 1
  hand_emulator --fault drop=0.05 --fault dead_taxel=thumb_tip
  hand_emulator --model v4 --script "2 missing_finger=index for 1; 5 bus_off for 0.5; 9 restart"

look at its frames, or give it to any SocketCAN program:
  allegro-hand probe slcan:/tmp/hand --model v5_b --servo
  sudo slcand -o -c -s8 $(readlink -f /tmp/hand) can0 && sudo ip link set can0 up && candump -t d can0

the control interface:
  echo '{{"id": 1, "op": "world"}}' | nc -u -w1 127.0.0.1 7001
  echo '{{"id": 2, "op": "start_episode", "seed": 7, "level": "L2"}}' | nc -u -w1 127.0.0.1 7001
"""


def parser() -> argparse.ArgumentParser:
    """The command line, made from :class:`EmulatorConfig`."""
    result = argparse.ArgumentParser(
        prog='hand_emulator', description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.format(faults=describe().replace('%', '%%'), hands=', '.join(
            sorted({name.rpartition('_')[0] for name in available_hands()}))))
    kinds = {'int': int, 'float': float, 'str': str}
    for one in parameters(EmulatorConfig):
        names = ['--' + one.name.replace('_', '-'), *(['--bus'] if one.name == 'wire' else [])]
        shown = f' [{one.unit}]' if one.unit else ''
        default = '' if one.default == '' else f'; default {one.default}'
        result.add_argument(*names, dest=one.name, type=kinds[one.kind],
                            choices=one.choices or None, default=one.default, help=f'{one.doc}{shown}{default}',
                            metavar=None if one.choices else one.name.upper())
    result.add_argument('--fault', action='append', default=[], metavar='NAME[=VALUE]',
                        help='a fault from the list below')
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns 0, or 2 after one sentence on standard error."""
    values = vars(parser().parse_args(argv))
    faults = values.pop('fault')
    signals = (signal.SIGINT, signal.SIGTERM)
    stopping: list[bool] = []
    # While it is being put together a signal simply ends it.
    before = [signal.signal(number, lambda *_: sys.exit(0)) for number in signals]
    try:
        with build_emulator(from_mapping(EmulatorConfig, values), faults) as server:

            def stop(*_: object) -> None:
                stopping.append(True)
                server.stop()

            for number in signals:
                signal.signal(number, stop)
            print(json.dumps(server.ready()), flush=True)
            if server.wire_port and values['host'] not in ('127.0.0.1', 'localhost'):
                print(f'hand_emulator: warning: {values["host"]} may be reachable from the network; anyone there can '
                      'command this hand', file=sys.stderr)
            # A hand's microcontroller shares its time with nobody; as far as it is allowed to, nor does this one.
            prepare_thread(REALTIME_PRIORITY)
            server.run()
    except AllegroError as error:
        print(f'hand_emulator: {error}', file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0  # whoever started it has gone
    finally:
        for number, handler in zip(signals, before, strict=True):
            # Launch tools repeat the signal while a process is ending.
            signal.signal(number, signal.SIG_IGN if stopping else handler)
    return 0


if __name__ == '__main__':
    sys.exit(main())
