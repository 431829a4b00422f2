"""Candidates that must not pass, made by code: they show that the gate can fail. Never part of a bundle or a result."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from allegro_ai.backends.precision import graph_of
from allegro_ai.bundle import Bundle
from allegro_ai.evidence.wrong_scale import damaged

from allegro_bench.quality.candidates import Candidate
from allegro_bench.running.engines import Engine


def damaged_int8(good: Candidate, factor: float = 0.0625, which: int | None = None) -> Candidate:
    """A measured int8 candidate, response times and all, with the scale of one weight tensor wrong."""
    graph, name = damaged(good.graph, factor, which)
    return good.altered(f'{good.name}, damaged ({name} x {factor:g})', graph=graph)


def delayed(good: Candidate, extra_ms: float, *, limited: bool = True) -> Candidate:
    """A measured candidate whose every inference takes so much longer.

    Args:
        good: the candidate.
        extra_ms: how much longer.
        limited: the policy's loop gives up as it does on a hand; False: it never does, only physics decides.
    """
    found = good.altered(f'{good.name}, +{extra_ms:g} ms', extra_ns=round(extra_ms * 1e6))
    return found if limited else replace(found, name=f'{found.name}, loop without limit', limit=None)


def int8_like(bundle: Bundle, times_of: Candidate, precision: str) -> Candidate:
    """An int8 candidate that was not measured, with the response times of one that was; for evidence and tests only."""
    graph = graph_of(bundle, precision)
    return replace(times_of, name=f'{times_of.engine.plugin}/{precision}', graph=graph,
                   engine=Engine(times_of.engine.plugin, precision), sha256=hashlib.sha256(graph).hexdigest(),
                   source=f'{times_of.source} ({times_of.name})', planted=True)
