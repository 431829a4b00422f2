"""Reading a bag: which topics are the hand's, then every message to the track that it belongs to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from allegro_description.errors import ConfigError, ProtocolError
from allegro_description.model import HandModel, load_hand

from allegro_bench.bags.folder import Bag, open_bag
from allegro_bench.bags.profiles import Profile, available, load_profile
from allegro_bench.bags.recording import KINDS, Recording, Sources, Stream, Track
from allegro_bench.bags.rows import READABLE, joint_names, joint_prefixes
from allegro_bench.bags.storage import StoredTopic
from allegro_bench.bags.tracks import TrackBuilder

JOINT_STATE = 'sensor_msgs/msg/JointState'
_PEEK_BLOCKS = 64
_MOST_SENTENCES = 100
_NEEDED = ('joint_states', 'touch', 'commands')


@dataclass(frozen=True)
class Wish:
    """What the caller of :func:`allegro_bench.bags.recording.read_recording` has asked for."""

    profile: str
    hand: str
    namespace: str | None
    prefix: str | None
    kinds: frozenset[str]
    hashes: bool


def whole(path: Path, wish: Wish) -> Recording:
    """See :func:`allegro_bench.bags.recording.read_recording`."""
    return next(stretches(path, wish, float('inf')))


def stretches(path: Path, wish: Wish, seconds: float) -> Iterator[Recording]:
    """See :func:`allegro_bench.bags.recording.windows`."""
    unknown = sorted(wish.kinds - set(KINDS))
    if unknown:
        raise ConfigError(f'kinds: {", ".join(unknown)}; allowed: {", ".join(KINDS)}')
    bag = open_bag(path)
    try:
        reader = _Reader(bag, _choose(bag, wish), wish.kinds, bag.hashes() if wish.hashes else {})
        yield from reader.windows(seconds)
    finally:
        bag.close()


@dataclass
class _Choice:
    """What of the bag is the hand."""

    profile: Profile
    model: HandModel
    namespace: str
    prefix: str | None
    damage: list[str] = field(default_factory=list)


def _choose(bag: Bag, wish: Wish) -> _Choice:
    """Profile, hand and namespace, after a look at the first messages."""
    # Damage is told by the reading that follows, not by this look.
    before = list(bag.damage)
    names = _peek(bag)
    bag.damage[:] = [*before, *(d for d in bag.damage if 'unpacking stopped' in d)]
    topics = list(bag.topics.values())
    known = [load_profile(n) for n in available()] if wish.profile == 'auto' else [load_profile(wish.profile)]
    rated = []
    for candidate in known:
        model = _model(candidate, wish.hand, bag.facts)
        found = [(t, *place) for t in topics if (place := candidate.find(t.name, t.type))]
        fits = any(joint_prefixes(model, n) for t, spec, *_ in found if spec.kind == 'joint_states'
                   for n in names.get(t.name, ()))
        spaces = {space for _, _, space, _ in found}
        kinds = {spec.kind for _, spec, *_ in found if spec.kind not in ('motion', 'diagnostics')}
        if found:
            # Of two profiles with as many streams the one that misses fewer.
            told = candidate.name == 'ours' and 'hand' in bag.facts
            score = fits or not names, len(kinds), told, len(kinds) / len(candidate.streams)
            rated.append((score, candidate, model, spaces))
    if not rated and not topics:
        profile = load_profile('ours' if wish.profile == 'auto' else wish.profile)
        nothing = f'{bag.path} holds no topic at all; its recorder wrote nothing before it ended'
        return _Choice(profile, _model(profile, wish.hand, bag.facts), '', wish.prefix, [nothing])
    if not rated:
        held = ', '.join(f'{t.name} ({t.type})' for t in sorted(topics, key=lambda t: t.name)[:12])
        raise ConfigError(
            f'{bag.path} holds no topic of a hand that profile {wish.profile} knows; it holds {held}. Choose another '
            f'profile ({", ".join(available())}) or write one: a YAML file as in bag_profiles')
    best = max(rated, key=lambda row: row[0])
    choice = _Choice(best[1], best[2], '', wish.prefix)
    equal = [p.name for score, p, *_ in rated if score == best[0] and p is not best[1]]
    if equal and wish.profile == 'auto':
        choice.damage.append(f'topics fit the profiles {", ".join([best[1].name, *equal])} equally; read as '
                             f'{best[1].name} ({best[1].about}). Choose one if that is wrong')
    _choose_namespace(choice, bag, best[3] - {'*'} or {''}, wish.namespace, names)
    return choice


def _choose_namespace(
    choice: _Choice, bag: Bag, spaces: set[str], wanted: str | None, names: dict[str, set[tuple[str, ...]]],
) -> None:
    hands = {}
    for topic in bag.topics.values():
        place = choice.profile.find(topic.name, topic.type)
        if place and place[0].kind == 'joint_states':
            found = names.get(topic.name)
            if found is None or any(joint_prefixes(choice.model, n) for n in found):
                hands[place[1]] = topic.name
            else:
                choice.damage.append(
                    f'{topic.name}: its joints are not those of {choice.model.name} '
                    f'({next(iter(choice.model.joint_names))} …), so it is no topic of this hand')
    places = sorted(hands or spaces)
    if wanted is not None:
        choice.namespace = wanted.strip('/')
        if choice.namespace not in places and choice.namespace not in spaces:
            raise ConfigError(f'{bag.path}: no hand in namespace {choice.namespace or "/"!r}; allowed: '
                              f'{", ".join(p or "/" for p in places)}')
        return
    choice.namespace = places[0]
    if len(places) > 1:
        choice.damage.append(
            f'the bag holds {len(places)} hands, in the namespaces {", ".join(p or "/" for p in places)}; read is that '
            f'in {places[0] or "/"}. Choose another with --namespace')


def _peek(bag: Bag) -> dict[str, set[tuple[str, ...]]]:
    """Joint names by topic, from the first messages; declares the topics of the bag on the way."""
    names: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    reader = bag.blocks()
    for _, (topics, rows) in zip(range(_PEEK_BLOCKS), reader, strict=False):
        for key, _, _, data in rows:
            topic = topics[key]
            if topic.type == JOINT_STATE and len(names[topic.name]) < 4:
                try:
                    names[topic.name].add(joint_names(data))
                except ProtocolError:
                    continue
        waiting = [t for t in bag.topics.values()
                   if t.type == JOINT_STATE and t.announced != 0 and t.name not in names]
        if names and not waiting:
            break
    reader.close()
    return {name: found for name, found in names.items() if found}


def _model(profile: Profile, hand: str, facts: dict[str, str]) -> HandModel:
    told = facts.get('hand', '')
    # What a recorder was told is worth nothing where the topics are those of another driver.
    believed = told if profile.name == 'ours' or told.startswith(f'{profile.hand}_') else ''
    name = hand or believed or f'{profile.hand}_right'
    model, _, side = name.rpartition('_')
    return _hand(model, side)


_hand = lru_cache(maxsize=16)(load_hand)


class _Reader:
    """One pass over a bag."""

    def __init__(self, bag: Bag, choice: _Choice, kinds: frozenset[str], hashes: dict[str, str]) -> None:
        self._bag, self._choice, self._kinds, self._hashes = bag, choice, kinds, hashes
        self._builders: dict[str, TrackBuilder | None] = {}
        self._counts: Counter[str] = Counter()
        self._odd: list[str] = []
        self._whole = False

    def windows(self, seconds: float) -> Iterator[Recording]:
        """Stretch by stretch."""
        begin, newest = None, 0
        for topics, rows in self._bag.blocks():
            grouped: dict[int, tuple[list[int], list[bytes | memoryview]]] = {}
            for key, received, _, data in rows:
                if key not in grouped:
                    grouped[key] = [], []
                grouped[key][0].append(received)
                grouped[key][1].append(data)
            for key, (times, messages) in grouped.items():
                topic = topics[key]
                self._counts[topic.name] += len(times)
                if topic.name not in self._builders:
                    self._builders[topic.name] = self._builder(topic)
                builder = self._builders[topic.name]
                if builder:
                    builder.add(times, messages)
            if rows:
                begin, newest = rows[0][1] if begin is None else begin, rows[-1][1]
                if abs(newest - begin) >= seconds * 1e9:
                    yield self._recording()
                    begin = None
        self._whole = True
        # Also where the last window ended with the file: its account is that of the whole.
        yield self._recording()

    def _builder(self, topic: StoredTopic) -> TrackBuilder | None:
        found = self._choice.profile.find(topic.name, topic.type)
        if found is None:
            self._unknown(topic)
            return None
        spec, space, part = found
        kind = f'{spec.kind}/{part}' if part else spec.kind
        if space not in ('*', self._choice.namespace) or spec.kind not in self._kinds:
            return None
        if topic.encoding != 'cdr':
            self._odd.append(f'{topic.name}: encoded as {topic.encoding}, only cdr can be read; left out')
            return None
        if spec.type not in READABLE:
            self._odd.append(f'{topic.name}: messages of {topic.type} cannot be read by this version; left out')
            return None
        taken = next((b for b in self._builders.values() if b and b.kind == kind), None)
        if taken:
            self._odd.append(f'{topic.name}: {taken.topic} is already read as {kind}; left out. Name the one you want '
                             'in a profile of your own')
            return None
        return TrackBuilder(kind, topic.name, spec, self._choice.model, self._choice.prefix)

    def _unknown(self, topic: StoredTopic) -> None:
        for spec in self._choice.profile.streams:
            place = spec.match(topic.name)
            if place and place[0] in ('*', self._choice.namespace):
                self._odd.append(f'{topic.name}: of type {topic.type}, profile {self._choice.profile.name} expects '
                                 f'{spec.type}; left out. Choose another profile')

    def _recording(self) -> Recording:
        tracks: dict[str, Track] = {}
        for builder in self._builders.values():
            track = builder.take() if builder else None
            if track is not None:
                tracks[track.kind] = track
        begin = min((int(t.received_ns.min()) for t in tracks.values()), default=0)
        end = max((int(t.received_ns.max()) for t in tracks.values()), default=0)
        order = {kind: k for k, kind in enumerate(KINDS)}
        tracks = dict(sorted(tracks.items(), key=lambda row: (order[row[0].split('/')[0]], row[0])))
        return Recording(tracks, self._damage(), self._sources(), begin, end)

    def _damage(self) -> tuple[str, ...]:
        words = [*self._choice.damage, *self._bag.damage, *self._odd]
        for builder in self._builders.values():
            if builder:
                words += builder.damage()
        if self._whole:
            words += [*self._missing(), *self._lost()]
        words = list(dict.fromkeys(words))
        more = len(words) - _MOST_SENTENCES
        return tuple(words if more <= 0 else [*words[:_MOST_SENTENCES], f'and {more} more findings'])

    def _missing(self) -> list[str]:
        """Streams without which little can be said."""
        words = []
        held = {b.kind for b in self._builders.values() if b and b.count}
        for spec in self._choice.profile.streams:
            needed = spec.kind in _NEEDED or (spec.kind == 'touch_raw' and not self._has('touch'))
            if not needed or spec.kind not in self._kinds or spec.kind in held:
                continue
            if spec.kind.startswith('touch') and not self._choice.model.taxels:
                continue
            there = [t.name for t in self._bag.topics.values()
                     if (place := spec.match(t.name)) and place[0] in ('*', self._choice.namespace)]
            words.append(f'{there[0]}: no message was recorded; was its publisher running?' if there else
                         f'no topic for {spec.kind.replace("_", " ")} ({self._named(spec.topic)}, {spec.type}) was '
                         'recorded; record it, or choose another profile')
        return words

    def _has(self, kind: str) -> bool:
        return any(s.kind == kind for s in self._choice.profile.streams)

    def _named(self, pattern: str) -> str:
        space = self._choice.namespace
        return f'/{space}/{pattern}' if space else f'/{pattern}'

    def _lost(self) -> list[str]:
        return [f'{topic.name}: {topic.announced - self._counts[topic.name]} of {topic.announced} messages that the '
                'bag says it holds were not found' for topic in self._bag.topics.values()
                if topic.announced is not None and topic.announced > self._counts[topic.name]]

    def _sources(self) -> Sources:
        choice, bag = self._choice, self._bag
        streams = []
        for topic in sorted(bag.topics.values(), key=lambda t: t.name):
            builder = self._builders.get(topic.name)
            streams.append(Stream(topic.name, topic.type, self._counts[topic.name], topic.announced,
                                  builder.kind if builder else ''))
        prefix = next((b.reader.prefix for b in self._builders.values() if b and b.kind == 'joint_states'), '')
        return Sources(bag.path, self._hashes, bag.storage, choice.profile.name, choice.model.name, choice.namespace,
                       prefix, dict(bag.facts), bag.distribution, tuple(streams))
