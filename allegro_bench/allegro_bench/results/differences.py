"""Where two JSON values differ: what was stored against what was computed again."""

from __future__ import annotations

import math
from typing import Any


def differences(where: str, stored: Any, computed: Any) -> list[str]:
    """One sentence for each place at which two values differ; floats may differ in the last digits.

    Args:
        where: name of the place, the beginning of each sentence.
        stored: what a file says.
        computed: what it should say.
    """
    if isinstance(computed, dict) and isinstance(stored, dict):
        return [d for key in {**stored, **computed}
                for d in differences(f'{where}/{key}', stored.get(key), computed.get(key))]
    if isinstance(computed, list) and isinstance(stored, list) and len(computed) == len(stored):
        return [d for i, (a, b) in enumerate(zip(stored, computed, strict=True))
                for d in differences(f'{where}/{i}', a, b)]
    if isinstance(computed, float) and isinstance(stored, (int, float)) and not isinstance(stored, bool):
        same = math.isclose(computed, stored, rel_tol=1e-9, abs_tol=1e-12)
    else:
        same = computed == stored and isinstance(computed, bool) == isinstance(stored, bool)
    return [] if same else [f'{where} is stored as {stored!r} and computed as {computed!r}']
