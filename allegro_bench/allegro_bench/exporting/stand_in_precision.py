"""``allegro_ai.backends.precision`` in a pack: graphs in 8 bit were converted when it was packed, with onnx."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from allegro_description.errors import BundleError

if TYPE_CHECKING:
    from allegro_ai.bundle import Bundle


def graph_of(bundle: Bundle, precision: str) -> bytes:
    """The graph of the packed bundle in ``precision``.

    Raises:
        BundleError: it was not packed.
    """
    path = Path(__file__).parent / f'{precision}.onnx'
    if not path.is_file():
        raise BundleError(f'{bundle.name} is not in this pack in {precision}; name it at the export: '
                          f'--engines onnxruntime,onnxruntime/{precision}')
    return path.read_bytes()
