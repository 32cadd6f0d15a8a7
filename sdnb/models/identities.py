"""Identities: which objects an object holds, so that comparing again takes microseconds.

An object holds its attributes, and what lists and dicts among these hold, however deep. What is
the very same object as before needs no second look; nothing is compared by its value here.
"""

from __future__ import annotations

import ctypes
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any
from weakref import ref

from sdnb.models.value_tokens import PLAIN

MANY = 256  # entries of a list or dict beyond which its length and ends are looked at
DICTS = {dict, OrderedDict}
CONTAINERS = {dict, OrderedDict, list, tuple, set, frozenset}
ITSELF = (dict, list, tuple, set, frozenset)  # what a class of its own may be one of


class Node:
    """One object of those that are asked about: its class, and what it holds.

    Arguments:
        path: where it is.
        item: the object; it is not kept alive, but where it cannot be referred to weakly.
        ignored: names of attributes that do not count.
    """

    __slots__ = ("ids", "ignored", "kind", "path", "there")

    def __init__(self, path: str, item: Any, ignored: frozenset[str]) -> None:
        self.path, self.kind = path, type(item)
        self.there = reference(item)
        self.ignored, self.ids = ignored, _ids_of(item, ignored)

    def is_untouched(self) -> bool:
        """Whether it still holds the very same."""
        item = self.there()
        return type(item) is self.kind and _ids_of(item, self.ignored) == self.ids


class Identities:
    """Many nodes, asked in one go, which takes a twentieth of the time.

    That goes level by level: the attributes of all objects, then the entries of all lists and dicts
    among them, then of those in these.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        items = [(node, item) for node in nodes if (item := node.there()) is not None]
        self._all = [node.there for node, _ in items]
        self._kinds = [node.kind for node, _ in items]
        plain = {id(node) for node, item in items if _is_plain(item, node.ignored)}
        self._plain = [node.there for node, _ in items if id(node) in plain]
        self._odd = [(n.there, n.ignored) for n, _ in items if id(n) not in plain]
        self._dicts = [node.there for node, item in items if isinstance(item, dict)]
        self._lists = [
            node.there
            for node, item in items
            if isinstance(item, ITSELF) and not isinstance(item, dict) and len(item) <= MANY
        ]
        self._levels: list[_Level] = []
        dicts, lists = self._first()
        while dicts or lists:
            level = _Level(dicts, lists)
            self._levels.append(level)
            dicts, lists = level.inner(_entries(dicts, lists))

    def are_untouched(self) -> bool:
        """Whether all are there and hold the very same."""
        if [type(there()) for there in self._all] != self._kinds:
            return False
        try:
            dicts, lists = self._first()
            for level in self._levels:
                entries = _entries(dicts, lists)
                if not level.is_same(dicts, lists, entries):
                    return False
                dicts, lists = level.inner(entries)
        except (AttributeError, TypeError, RuntimeError):  # gone, of another kind, or on the move
            return False
        return True

    def _first(self) -> tuple[Sequence[Any], Sequence[Any]]:
        """The dicts and lists of the first level."""
        dicts = [there().__dict__ for there in self._plain]
        dicts += [_counted(there(), ignored) for there, ignored in self._odd]
        dicts += [there() for there in self._dicts]
        return dicts, [there() for there in self._lists]


class _Level:
    """The entries of some dicts and lists."""

    def __init__(self, dicts: Sequence[Any], lists: Sequence[Any]) -> None:
        entries = _entries(dicts, lists)
        self.sizes, self.addresses = _sizes(dicts, lists), _addresses(entries)
        inner = {
            i: entry
            for i, entry in enumerate(entries)
            if type(entry) in CONTAINERS and not is_fixed(entry)
        }
        few = {i: entry for i, entry in inner.items() if 0 < len(entry) <= MANY}
        # most of a module's dicts are for hooks, and empty
        self.empty = _getter([i for i, entry in inner.items() if not entry])
        self.dicts = _getter([i for i, entry in few.items() if type(entry) in DICTS])
        self.lists = _getter([i for i, entry in few.items() if type(entry) not in DICTS])
        self.many = _getter([i for i, entry in inner.items() if len(entry) > MANY])
        self.lengths = list(map(len, self.many(entries)))
        self.kinds = list(map(type, chain(*self.inner(entries))))

    def is_same(self, dicts: Sequence[Any], lists: Sequence[Any], entries: list[Any]) -> bool:
        return (
            _addresses(entries) == self.addresses
            and _sizes(dicts, lists) == self.sizes
            and not any(map(len, self.empty(entries)))
            and list(map(type, chain(*self.inner(entries)))) == self.kinds
            and list(map(len, self.many(entries))) == self.lengths
        )

    def inner(self, entries: list[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Those entries that are dicts and lists themselves, and not empty."""
        return self.dicts(entries), self.lists(entries)


def _entries(dicts: Sequence[Any], lists: Sequence[Any]) -> list[Any]:
    """All keys, then all values, then what is in the lists."""
    return [
        *chain.from_iterable(map(dict.keys, dicts)),
        *chain.from_iterable(map(dict.values, dicts)),
        *chain.from_iterable(lists),
    ]


def _addresses(entries: list[Any]) -> bytes:
    """Where they are: an array of objects is one of pointers; a third of the time of `id`."""
    import numpy

    pointers = numpy.fromiter(entries, object, len(entries))
    return ctypes.string_at(pointers.ctypes.data, pointers.nbytes)


def _sizes(dicts: Sequence[Any], lists: Sequence[Any]) -> list[int]:
    return [*map(len, dicts), *map(len, lists)]


def _getter(places: Sequence[int]) -> Callable[[Any], Sequence[Any]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda entries: [entries[place] for place in places]


def is_fixed(value: object) -> bool:
    """Whether this is a tuple of numbers or texts, which cannot change."""
    return type(value) is tuple and all(isinstance(each, PLAIN) for each in value)


def attributes(item: Any) -> Iterator[tuple[str, Any]]:
    """An object's own attributes, those in slots too."""
    yield from getattr(item, "__dict__", {}).items()
    kind: Any = type(item)
    for name in _slots(kind):
        if hasattr(item, name):
            yield name, getattr(item, name)


@functools.cache
def _slots(kind: Any) -> list[str]:
    found: list[str] = []
    for made in kind.__mro__:
        slots = vars(made).get("__slots__", ())
        found += [slots] if isinstance(slots, str) else slots
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def reference(item: Any) -> Callable[[], Any]:
    """Gives the object as long as it lives; one that cannot be referred to weakly lives on."""
    try:
        return ref(item)
    except TypeError:
        return lambda: item


def _is_plain(item: Any, ignored: frozenset[str]) -> bool:
    """Whether its `__dict__` holds all its attributes, and all of them count.

    In a dict of its own class, such as diffusers' configs, what does not count is rarely set: then
    the thorough look shows it.
    """
    kind: Any = type(item)
    counts = not ignored or isinstance(item, dict)
    return counts and not _slots(kind) and hasattr(item, "__dict__")


def _counted(item: Any, ignored: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in attributes(item) if name not in ignored}


def _ids_of(item: Any, ignored: frozenset[str]) -> list[int]:
    """The addresses of all that an object holds, with the lengths of its lists and dicts."""
    held = item.__dict__ if _is_plain(item, ignored) else _counted(item, ignored)
    out: list[int] = []
    _add_ids(held, out)
    if isinstance(item, ITSELF):
        _add_ids(item, out)
    return out


def _add_ids(entries: Any, out: list[int]) -> None:
    out.append(len(entries))
    if len(entries) > MANY:
        return
    out.extend(map(id, entries))
    values = dict.values(entries) if isinstance(entries, dict) else entries
    out.extend(map(id, values))
    for value in values:
        if type(value) in CONTAINERS and value and not is_fixed(value):
            _add_ids(value, out)
