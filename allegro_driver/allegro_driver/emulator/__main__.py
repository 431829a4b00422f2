"""Command line of the emulator: ``python -m allegro_driver.emulator`` or ``hand_emulator``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence

from allegro_description.config import from_mapping, parameters
from allegro_description.errors import AllegroError

from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.faults import describe
from allegro_driver.realtime import prepare_thread

REALTIME_PRIORITY = 70
"""Above the driver's control thread: telemetry must not wait for what it paces."""

ABOUT = """A simulated Allegro Hand V5 Sense that answers on the wire: UDP protocol V5B2, telemetry every 3 ms.

Start it, then connect a driver to 127.0.0.1:7000 as if it were a hand. When it is ready it prints one line of JSON
with its ports. End it with Ctrl-C."""

EXAMPLES = """faults (--fault may be given several times):
{faults}

examples:
  hand_emulator                                     a right hand on 127.0.0.1:7000, control on 7001
  hand_emulator --port 0 --control-port 0           free ports, printed when ready
  hand_emulator --physics simple                    without MuJoCo: joints only
  hand_emulator --fault drop=0.05 --fault dead_taxel=thumb_tip
  echo '{{"id": 1, "op": "world"}}' | nc -u -w1 127.0.0.1 7001
  echo '{{"id": 2, "op": "start_episode", "seed": 7, "level": "L2"}}' | nc -u -w1 127.0.0.1 7001
"""


def parser() -> argparse.ArgumentParser:
    """The command line, made from :class:`EmulatorConfig`."""
    result = argparse.ArgumentParser(
        prog='hand_emulator', description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.format(faults=describe().replace('%', '%%')))
    kinds = {'int': int, 'float': float, 'str': str}
    for one in parameters(EmulatorConfig):
        shown = f' [{one.unit}]' if one.unit else ''
        default = '' if one.default == '' else f'; default {one.default}'
        result.add_argument('--' + one.name.replace('_', '-'), dest=one.name, type=kinds[one.kind],
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
            print(json.dumps({'wire_port': server.wire_port, 'control_port': server.control_port}), flush=True)
            if values['host'] not in ('127.0.0.1', 'localhost'):
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
