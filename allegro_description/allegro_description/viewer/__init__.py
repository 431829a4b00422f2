"""The hand in a web browser, for machines without RViz.

::

    surface   where a link's surface is; pads that lie on it      pure
    colours   palette and the pressure colour scale               pure
    scene     node tree of a hand, joint angles -> rotations      pure
    live      newest values and short histories, thread-safe      pure
    raster    which triangle covers each pixel                    pure
    studio    light and shadow, without a graphics card           pure
    pictures  PNG files of every hand, one sheet of them all      needs pillow
    page      the scene in a viser server on 127.0.0.1            needs viser
    markup    the texts of the side panel                         pure
    panel     the side panel of that page                         needs viser
    sliders   the hand moved by sliders, without ROS              needs viser
"""

from __future__ import annotations

import importlib
from typing import Any

from allegro_description.errors import MissingDependency

INSTALL = "pip install 'allegro_description[view]'"


def load(module: str) -> Any:
    """Import ``page``, ``panel`` or another module of this package that needs viser.

    Raises:
        MissingDependency: viser is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(f'{__name__}.{module}')
    except ImportError as error:
        raise MissingDependency(f'the browser view needs the package viser ({error}). Install it with: {INSTALL}. '
                                'On a robot with RViz: ros2 launch allegro_description view_hand.launch.py') from error
