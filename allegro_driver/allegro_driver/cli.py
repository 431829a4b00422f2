"""Command line ``allegro-hand``: look at a hand, move it, watch it, calibrate it, or emulate one. No ROS needed."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from allegro_description.errors import AllegroError

from allegro_driver.commands import calibrate, doctor, listing, monitor, play, pose, probe

EPILOG = """examples:
  allegro-hand list                                 hands, links, and what no source could settle
  allegro-hand doctor                               is this machine ready for a hand? what to do if not
  allegro-hand emulate                              a simulated hand on 127.0.0.1:7000
  allegro-hand probe 127.0.0.1                      who is there, and how evenly does it send? (no torque)
  allegro-hand probe socketcan:can0#1 --model v4    the same over CAN, for the hand with device number 1
  allegro-hand monitor 192.168.0.50                 live joints, currents and touch (torque off)
  allegro-hand pose home 127.0.0.1 --yes            move to a named pose, hold, torque off
  allegro-hand play grasp_3 127.0.0.1               one of the named motions, e.g. home, grasp_3, envelop
  allegro-hand calibrate 192.168.0.50               measure encoder zeros, step by step (torque off)

An ADDRESS is IP, IP:PEER_PORT or IP:PEER_PORT:LOCAL_PORT over UDP, and INTERFACE:CHANNEL or INTERFACE:CHANNEL#DEVICE
over CAN (socketcan:can0, slcan:/dev/ttyACM0, pcan:PCAN_USBBUS1). Without one, the factory address of the hand is used.
Errors are one sentence, exit code 2."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog='allegro-hand', description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for module in (listing, doctor, probe, monitor, pose, play, calibrate):
        module.add(commands)
    commands.add_parser('emulate', add_help=False, help='a simulated hand on the wire; see its own --help')
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 where ``doctor`` found something that must be mended; 2 after one sentence on standard error; 130 after
        Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ['emulate']:
        from allegro_driver.emulator.__main__ import main as emulate

        return emulate(words[1:])
    options = parser().parse_args(words)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code: int = options.run(options)
        return code
    except AllegroError as error:
        print(f'allegro-hand: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nallegro-hand: stopped', file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0  # the reader of our output has gone
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == '__main__':
    sys.exit(main())
