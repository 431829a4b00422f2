"""The text file in a pack, for people who have never heard of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allegro_bench.exporting.pack import Order

TEXT = """\
How fast does this policy run on your machine, at {rate:g} Hz?

This folder measures {name} (hand: {model}, {side}) and needs Linux, Python 3.10 or newer, numpy and an
inference engine. Engines that it knows: {engines}. Nothing is installed, nothing is sent anywhere.

  python3 -m pip install numpy{pip}
  python3 run.py --plan                              what it would do, and for how long
  python3 run.py --profile quick                     does everything work?  (3 x 10 s, never published)
  python3 run.py --profile standard --output my_board      what is compared  (5 x 120 s of each engine)

Bring back the whole folder my_board: result.json and ticks/. At home:

  allegro-bench verify my_board
  allegro-bench report my_board
  allegro-bench compare my_board OTHER_RESULT

Before a run for publication: mains power, performance governor or power mode, nothing else running; on a Jetson choose
the power mode (nvpmodel) and fix the clocks (jetson_clocks), and say so. Energy is measured where the machine has a
meter that you may read: RAPL (powercap), INA3221 on Jetson modules, hwmon, a battery. Where there is none, the result
says none. A wall meter of your own: --meter external:ADDRESS, or csv:FILE.

run.py begins by comparing every file with MANIFEST.json and refuses a pack that was altered or damaged.
What is measured and why: docs/protocol.md of the package allegro_bench.
Where PyYAML or onnx are absent, stand_ins/ replaces the little that is needed of them: documents that were parsed when
this was packed, and a reader of the graph for the numpy engine.
Meters and engines on hardware other than x86_64 computers have not been tried by the authors of this pack.
"""


def readme(order: Order) -> str:
    """The text for one pack."""
    chosen = order.chosen
    pip = ''.join(f' {name}' for name in ('onnxruntime', 'openvino', 'torch')
                  if any(e.partition('/')[0] == name for e in order.engines))
    return TEXT.format(name=chosen.name, rate=chosen.rate_hz, model=chosen.model, side=chosen.side,
                       engines=', '.join(order.engines), pip=pip)
