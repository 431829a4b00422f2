"""Colours of the view: its signs and the pressure scale. Those of the hand itself are in ``meshes.materials``.

The pressure scale is a straight walk through OKLCh (Björn Ottosson's OKLab, 2020): lightness rises evenly from the
dark of the hand to a bright yellow while the hue turns from violet over red to yellow. Equal steps of pressure
are equal steps of lightness, so it reads the same in grey and with any colour vision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allegro_description.meshes.materials import Colour as Colour
from allegro_description.state import Array

INVALID: Colour = (136, 138, 142)
HATCH: Colour = (62, 64, 68)
FORCE: Colour = (214, 48, 49)
GRAVITY: Colour = (38, 110, 200)
OBJECT: Colour = (58, 134, 160)

#: Levels of the pressure scale; fewer levels mean fewer colour messages to the browser.
LEVELS = 64

_LIGHT = (0.34, 0.92)
_HUE = (-75.0, 100.0)      # degrees: violet, through red (0 … 30), to yellow


def _oklch_to_srgb(light: Array, chroma: Array, hue: Array) -> Array:
    """Gamma-coded sRGB, unclipped, of OKLCh colours (hue in rad), (n, 3)."""
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cone = np.stack([light + 0.3963377774 * a + 0.2158037573 * b,
                     light - 0.1055613458 * a - 0.0638541728 * b,
                     light - 0.0894841775 * a - 1.2914855480 * b]) ** 3
    linear = np.array([[4.0767416621, -3.3077115913, 0.2309699292],
                       [-1.2684380046, 2.6097574011, -0.3413193965],
                       [-0.0041960863, -0.7034186147, 1.7076147010]]) @ cone
    positive = np.clip(linear, 0.0031308, None)
    coded: Array = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * positive ** (1 / 2.4) - 0.055).T
    return coded


def lightness(rgb: Array) -> Array:
    """OKLab lightness (0 black, 1 white) of 8-bit sRGB colours (n, 3), (n,)."""
    c = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    cone = np.cbrt(linear @ np.array([[0.4122214708, 0.2119034982, 0.0883024619],
                                      [0.5363325363, 0.6806995451, 0.2817188376],
                                      [0.0514459929, 0.1073969566, 0.6299787005]]))
    light: Array = cone @ np.array([0.2104542553, 0.7936177850, -0.0040720468])
    return light


def _scale() -> NDArray[np.uint8]:
    t = np.linspace(0, 1, LEVELS)
    light = _LIGHT[0] + t * (_LIGHT[1] - _LIGHT[0])
    hue = np.radians(_HUE[0] + t * (_HUE[1] - _HUE[0]))
    # the most vivid colour the screen can show at each lightness and hue, but no more than an even 0.17
    chroma, best = np.linspace(0, 0.17, 86), np.zeros(LEVELS)
    for c in chroma:
        inside = _oklch_to_srgb(light, np.full(LEVELS, c), hue)
        fits = ((inside >= -1e-6) & (inside <= 1 + 1e-6)).all(axis=1)
        best = np.where(fits, c, best)
    rgb = _oklch_to_srgb(light, best, hue)
    return (np.clip(rgb, 0, 1) * 255).round().astype(np.uint8)


#: The pressure scale, from nothing to full scale, (LEVELS, 3) 8-bit sRGB.
SCALE = _scale()
SCALE.setflags(write=False)


def pressure_levels(pressure_pa: Array, full_scale_pa: float) -> NDArray[np.intp]:
    """Index into :data:`SCALE` of each pressure; beyond full scale stays at the top, NaN is level 0, (n,)."""
    share = np.nan_to_num(np.asarray(pressure_pa, dtype=np.float64) / full_scale_pa, nan=0.0, posinf=1.0, neginf=0.0)
    return (np.clip(share, 0.0, 1.0) * (LEVELS - 1)).round().astype(np.intp)


def pressure_colours(
    pressure_pa: Array, valid: Sequence[bool] | NDArray[np.bool_], full_scale_pa: float,
) -> list[Colour]:
    """Colour of each taxel: the pressure scale where the reading is valid and finite, neutral grey elsewhere."""
    levels = pressure_levels(pressure_pa, full_scale_pa)
    usable = np.asarray(valid, dtype=bool) & np.isfinite(pressure_pa)
    return [_colour(SCALE[level]) if ok else INVALID for level, ok in zip(levels, usable, strict=True)]


def css_gradient(stops: int = 12) -> str:
    """The pressure scale as a CSS ``linear-gradient``."""
    picks = SCALE[np.linspace(0, LEVELS - 1, stops).round().astype(int)]
    return 'linear-gradient(to right, ' + ', '.join(hex_colour(_colour(c)) for c in picks) + ')'


def hex_colour(colour: Colour) -> str:
    """CSS hexadecimal form."""
    return '#' + bytes(colour).hex()


def _colour(rgb: NDArray[np.uint8]) -> Colour:
    r, g, b = (int(v) for v in rgb)
    return (r, g, b)
