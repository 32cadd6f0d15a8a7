"""Fingerprint: how an object is, with all that it holds, so that any later change can be named.

Nothing is listed that might be changed: everything that can be reached from the object is looked
at, by what it is and not by its name. Modules, configs, processors and tokenizers are followed
attribute by attribute; weights by their identity, torch's count of changes, and numbers from all
over them; tokenizers written in Rust by how they read a text.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import pathlib
import re
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import is_, itemgetter
from typing import Any
from weakref import ref

PLACES = 64  # numbers that are looked at in each weight
BROAD = 65536  # the same where one tensor has taken another's place
MANY = 256  # entries of a list or dict beyond which its length and ends are looked at
SMALL = 4096  # numbers of a tensor that is compared whole
PROBE = "A photo of 2 foxes, näive: it's (blurry)1.3 <sks> 狐"

# torch's own dicts of parts, which are no step of the path that a person would write
_PARTS = {"_modules", "_parameters", "_buffers"}
_DICTS = {dict, OrderedDict}
_CONTAINERS = {dict, OrderedDict, list, tuple, set, frozenset}
_PLAIN = (type(None), bool, int, float, complex, str, bytes, enum.Enum, pathlib.PurePath,
          re.Pattern, range, slice)  # fmt: skip
_ITSELF = (dict, list, tuple, set)
_OPAQUE = (types.ModuleType, type, types.BuiltinFunctionType, types.CodeType, property)


Tokens = dict[str, tuple[Any, ...]]  # of values, by where they are
Differences = dict[str, tuple[str, str]]  # where -> (how it was, how it is), in words
NOTHING = ("nothing",)


class Fingerprint:
    """How an object is now, with all that it holds.

    Looking again takes about a microsecond for each attribute: what is the same object as before
    needs no second look. Weights and modules are not kept alive by it.

    Arguments:
        root: the object.
        ignored: gives, for an object's class, the names of attributes, and of a dict's keys, that
            do not count; with "" among them an object counts by what it holds alone.
        shared: the fingerprint of another object; what both hold is looked at there alone.
        harmless: whether a function that stands in a dict, as hooks do, does not count.

    Attributes:
        classes: the classes of all objects in it.

    Example:
        >>> import torch
        >>> layers = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 3), torch.nn.Dropout())
        >>> fingerprint = Fingerprint(layers)
        >>> fingerprint.differences(layers)
        {}
        >>> layers[0].padding_mode = "circular"
        >>> fingerprint.differences(layers)
        {'0.padding_mode': ("'zeros'", "'circular'")}
    """

    def __init__(
        self,
        root: object,
        ignored: Callable[[type], frozenset[str]] = lambda _: frozenset(),
        shared: Fingerprint | None = None,
        harmless: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        self._shared = shared
        self._elsewhere = shared.addresses() if shared else frozenset()
        self.classes: set[type] = set()
        self._ignored, self._harmless = ignored, harmless
        self._tokens: Tokens = {}  # of the values of the object that is looked at
        self._known: list[Tokens] = []  # the same of each of the nodes
        self._nodes: list[_Node | _OddNode] = []
        self._tensors: list[tuple[ref[Any], tuple[Any, ...], int, tuple[Any, ...], str]] = []
        self._probes: list[tuple[Callable[[], Any], Callable[[Any], Any], Any, str]] = []
        self._held: list[Any] = []  # so that no other object gets the same address
        self._seen: set[int] = set()
        self._todo: list[tuple[str, Any]] = []
        self._changed: tuple[Fingerprint, Differences] | None = None
        self._note("", root)
        self._roots = self._tokens  # what the object itself is
        while self._todo:
            self._look(*self._todo.pop())
        self._together: tuple[_Nodes, _Tensors] | None = None

    def differences(self, root: object) -> Differences:
        """What has changed in the object since: where -> (how it was, how it is), in words."""
        if self._is_untouched():
            return {}
        if self._changed and self._changed[0]._is_untouched():
            return self._changed[1]
        if changed := self._nearby():
            return changed
        now = Fingerprint(root, self._ignored, self._shared, self._harmless)
        if changed := self._to(now):
            self._changed = now, changed
        else:  # other objects that are the same
            vars(self).update(vars(now))
        return changed

    def differences_to(self, other: object) -> Differences:
        """How another object differs: where -> (how this one was, how the other is), in words."""
        return self._to(Fingerprint(other, self._ignored, self._shared, self._harmless))

    def _to(self, other: Fingerprint) -> Differences:
        return _compared(self._whole(), other._whole())

    def _whole(self) -> Tokens:
        return {k: token for known in (self._roots, *self._known) for k, token in known.items()}

    def _nearby(self) -> Differences:
        """The differences in the objects that are known, without looking for others."""
        changed = self.in_objects()
        for there, _, _, token, path in self._tensors:
            tensor = there()
            if tensor is not None and _numbers(tensor) != token:
                changed[path] = "other numbers", "other numbers"
        for held, read, token, path in self._probes:
            if (item := held()) is not None and (reads := read(item)) != token:
                words = ("the tokenizer", reads) if read is _reads else (type(item), reads)
                changed[path] = "as loaded", _words(words)
        return changed

    def in_objects(self) -> Differences:
        """Of the differences those in the attributes and entries of objects that are known."""
        changed: Differences = {}
        touched = [i for i, node in enumerate(self._nodes) if not node.is_untouched()]
        addresses = self.addresses() if touched else frozenset()
        for i in touched:
            if (item := self._nodes[i].there()) is not None:
                now = Fingerprint(None, self._ignored, self._shared, self._harmless)
                now._seen = set(addresses)
                now._look(self._nodes[i].path, item)
                changed |= _compared(self._known[i], now._known[0])
        return changed

    def addresses(self) -> frozenset[int]:
        """Of the objects and tensors in it that there still are."""
        items = [node.there() for node in self._nodes]
        items += [there() for there, *_ in self._tensors]
        return frozenset(id(item) for item in items if item is not None)

    # ---------------------------------------------------------------- a quick second look

    def _is_untouched(self) -> bool:
        """Whether all objects are the very same, and hold the very same."""
        if self._together is None:
            self._together = _Nodes(self._nodes), _Tensors(self._tensors)
        nodes, tensors = self._together
        if not (nodes.is_untouched() and tensors.is_untouched()):
            return False
        return all(
            (item := there()) is not None and read(item) == token
            for there, read, token, _ in self._probes
        )

    # ---------------------------------------------------------------- a thorough look

    def _look(self, path: str, item: Any) -> None:
        """Notes an object's attributes, and entries if it is a dict or list too."""
        self._tokens = {}
        self._known.append(self._tokens)
        self.classes.add(type(item))
        ignored = self._ignored(type(item))
        plain = not ignored and hasattr(item, "__dict__") and not isinstance(item, _ITSELF)
        self._nodes.append(_Node(path, item) if plain else _OddNode(path, item, ignored))
        start = f"{path}." if path else ""
        for name, value in _attributes(item):
            if name in ignored or _is_nothing(item, name, value):
                continue
            if name in _PARTS and type(value) in _DICTS:
                self._tokens[f"{start}{name}"] = ("the list", tuple(value))
                for key, part in value.items():
                    self._note(f"{start}{key}", part)
            else:
                self._note(f"{start}{name}", value)
        if isinstance(item, (Mapping, list, tuple, set)):
            self._note_entries(path, item, ignored)

    def _note(self, path: str, value: Any) -> None:
        """Notes one value; an object's own attributes are looked at later."""
        import numpy
        import torch

        kind: Any = type(value)
        if isinstance(value, (*_PLAIN, torch.dtype, torch.device, torch.Size)):
            self._held.append(value)
            self._tokens[path] = _meaning(value)
        elif id(value) in self._elsewhere:
            self._tokens[path] = ("the object", name_of(value), id(self._canonical(value)))
        elif kind in _CONTAINERS:
            if len(value) > MANY or _is_fixed(value):
                self._held.append(value)
            self._note_entries(path, value)
        elif isinstance(value, torch.Tensor):
            if type(value).__getattribute__ is torch.Tensor.__getattribute__ and vars(value):
                self._todo.append((path, value))  # attributes of a weight
            token = _numbers(value)
            words = 0 if value.is_inference() else _words_in(value)
            self._tensors.append((ref(value), _address(value) if words else (), words, token, path))
            self._tokens[path] = kind, *token
            if value.numel() > SMALL:  # not all of it is looked at
                # a move to another device replaces buffers, and never parameters
                is_buffer = kind is torch.Tensor and not value.is_meta
                wide = _sampled(value, BROAD) if is_buffer else id(self._canonical(value))
                self._tokens[path] = *self._tokens[path], wide
        elif isinstance(value, (numpy.ndarray, numpy.generic)):
            self._tokens[path] = (kind, _bytes(value))
            self._probes.append((_reference(value), _bytes, _bytes(value), path))
        elif isinstance(value, _OPAQUE):
            self._held.append(value)
            self._tokens[path] = ("the object", name_of(value), id(value))
        elif isinstance(value, functools.partial):
            self._note_once(value, path)
            for i, part in enumerate((value.func, value.args, value.keywords)):
                self._note(f"{path}({i})", part)
        elif isinstance(value, types.MethodType):
            self._held.append(value)
            self._tokens[path] = ("the method", name_of(value), id(value.__func__))
            self._child(f"{path}.__self__", value.__self__)
        elif isinstance(value, types.FunctionType):
            self._held.append(value)
            self._tokens[path] = ("the function", name_of(value), id(value.__code__))
            if id(value) not in self._seen:
                self._seen.add(id(value))
                for i, cell in enumerate(value.__closure__ or ()):
                    try:
                        self._note(f"{path}({i})", cell.cell_contents)
                    except ValueError:  # not set yet
                        self._tokens[f"{path}({i})"] = ("an empty cell",)
        elif (kind.__module__ == "builtins" and kind.__name__ == "Tokenizer") or _is_rust(value):
            self._tokens[path] = ("the tokenizer", how := _reads(value))
            self._held.append(value)
            self._probes.append((_reference(value), _reads, how, path))
        elif hasattr(value, "__dict__") or hasattr(kind, "__slots__"):
            if "" not in self._ignored(kind):
                self._tokens[path] = ("an object", name_of(kind), id(kind))
            self._child(path, value)
        else:  # nothing can be seen of it but which it is
            self._held.append(value)
            shown = repr(value) if kind.__name__ == "AddedToken" else id(value)
            self._tokens[path] = ("the object", kind.__qualname__, shown)

    def _note_once(self, value: Any, path: str) -> None:
        self._held.append(value)
        self._tokens[path] = ("the object", name_of(value))

    def _note_entries(self, path: str, entries: Any, ignored: frozenset[str] = frozenset()) -> None:
        kind, size = type(entries).__name__, len(entries)
        if size > MANY:
            ends = [*_first(entries, 8), *_first(reversed(entries), 8)] if hasattr(
                entries, "__reversed__") else sorted(map(repr, entries))[:8]  # fmt: skip
            self._tokens[f"{path}[]"] = (kind, size, repr(ends))
        elif isinstance(entries, Mapping):
            counted = {
                key: value
                for key, value in entries.items()
                if key not in ignored
                and not (isinstance(value, types.FunctionType) and self._harmless(value))
            }
            if counted or not entries:
                self._tokens[f"{path}[]"] = (kind, tuple(map(repr, counted)))
            for key, value in counted.items():
                self._note(f"{path}[{key!r}]", value)
        elif isinstance(entries, (set, frozenset)):
            self._tokens[f"{path}[]"] = (kind, tuple(sorted(map(repr, entries))))
        else:
            self._tokens[f"{path}[]"] = (kind, size)
            for i, value in enumerate(entries):
                self._note(f"{path}[{i}]", value)

    def _child(self, path: str, value: Any) -> None:
        if id(value) not in self._seen and id(value) not in self._elsewhere:
            self._seen.add(id(value))
            self._todo.append((path, value))

    def _canonical(self, value: Any) -> Any:
        """A weak reference, which is one for each object: its address is no later object's."""
        known = _reference(value)
        self._held.append(known)
        return known


class _Node:
    """An object's attributes, each by what is the quickest to compare.

    Plain values by being the very same object, what is heavy by its address.
    """

    __slots__ = (
        "count", "dicts", "empty", "heavy", "kinds", "lists", "nested", "path", "plain", "there",
        "values",
    )  # fmt: skip

    def __init__(self, path: str, item: Any) -> None:
        self.path = path
        held = item.__dict__
        self.there, self.count = _reference(item), len(held)
        lists = {
            name: value
            for name, value in held.items()
            if type(value) in _CONTAINERS and not _is_fixed(value)
        }
        light = (*_PLAIN, tuple, *_OPAQUE, types.FunctionType)
        plain = [name for name in held if name not in lists and isinstance(held[name], light)]
        self.plain = _getter(tuple(plain))
        self.values = self.plain(held)
        self.heavy = [
            (name, id(held[name])) for name in held if name not in lists and name not in plain
        ]
        # most of a module's dicts are for hooks, and empty
        empty = {name: type(value) for name, value in lists.items() if not value}
        self.empty, self.kinds = _getter(tuple(empty)), list(empty.values())
        self.dicts: list[tuple[str, list[Any]]] = []
        self.lists: list[tuple[str, list[int]]] = []
        self.nested: list[tuple[str, list[int]]] = []
        for name, value in lists.items():
            inner = value.values() if type(value) in _DICTS else value
            if len(value) > MANY or not _CONTAINERS.isdisjoint(map(type, inner)):
                self.nested.append((name, _nested(value)))
            elif value and type(value) in _DICTS:
                self.dicts.append((name, [*value, *map(id, inner)]))
            elif value:
                self.lists.append((name, list(map(id, value))))

    def is_untouched(self) -> bool:
        item = self.there()
        if item is None:
            return False
        held = item.__dict__
        if len(held) != self.count:
            return False
        try:
            return (
                all(map(is_, self.plain(held), self.values))
                and _are_empty(self.empty(held), self.kinds)
                and self.holds(held)
            )
        except (KeyError, TypeError, AttributeError):  # gone, or of another kind
            return False

    def holds(self, held: dict[str, Any]) -> bool:
        """Whether what is neither plain nor empty is as it was."""
        for name, entries in self.dicts:
            value = held[name]
            if [*value, *map(id, value.values())] != entries:
                return False
        for name, ids in self.lists:
            if list(map(id, held[name])) != ids:
                return False
        for name, address in self.heavy:
            if id(held[name]) != address:
                return False
        return all(_nested(held[name]) == ids for name, ids in self.nested)


def _are_empty(values: Sequence[Any], kinds: list[type]) -> bool:
    return list(map(type, values)) == kinds and not any(values)


class _OddNode:
    """The same of an object that is a list or dict itself, or some of whose attributes count."""

    __slots__ = ("ids", "ignored", "path", "there")

    def __init__(self, path: str, item: Any, ignored: frozenset[str]) -> None:
        self.path = path
        self.there = _reference(item)
        self.ignored, self.ids = ignored, _ids_of(item, ignored)

    def is_untouched(self) -> bool:
        item = self.there()
        return item is not None and _ids_of(item, self.ignored) == self.ids


class _Nodes:
    """All the nodes, looked at together: that takes a third of the time."""

    def __init__(self, nodes: Iterable[_Node | _OddNode]) -> None:
        self.odd = [node for node in nodes if isinstance(node, _OddNode)]
        plain = [node for node in nodes if isinstance(node, _Node)]
        self.there = [node.there for node in plain]
        self.counts = [node.count for node in plain]
        self.plain = [node.plain for node in plain]
        self.values = [value for node in plain for value in node.values]
        self.empty = [node.empty for node in plain]
        self.kinds = [kind for node in plain for kind in node.kinds]
        self.others = [
            (i, node)
            for i, node in enumerate(plain)
            if node.dicts or node.lists or node.heavy or node.nested
        ]

    def is_untouched(self) -> bool:
        try:
            held = [there().__dict__ for there in self.there]
            if list(map(len, held)) != self.counts:
                return False
            plain = [value for get, each in zip(self.plain, held) for value in get(each)]
            if not all(map(is_, plain, self.values)):
                return False
            empty = [value for get, each in zip(self.empty, held) for value in get(each)]
            if not _are_empty(empty, self.kinds):
                return False
            if not all(node.holds(held[i]) for i, node in self.others):
                return False
        except (KeyError, TypeError, AttributeError):  # gone, or of another kind
            return False
        return all(node.is_untouched() for node in self.odd)


class _Tensors:
    """All the tensors, looked at together; those in main memory by what stands there."""

    def __init__(
        self, tensors: Iterable[tuple[ref[Any], tuple[Any, ...], int, tuple[Any, ...], str]]
    ) -> None:
        self.all = list(tensors)
        near = [
            (there, how, words, token)
            for there, how, words, token, _ in self.all
            if words and (tensor := there()) is not None and tensor.is_cpu
        ]
        self.there = [there for there, *_ in near]
        self.how = [how for _, how, *_ in near]
        # read only while the tensors are where they were
        seen = [(_places(how[0], words), token[-1]) for _, how, words, token in near]
        self.whole = [place for place, _ in seen if place.c_contiguous]
        self.numbers = b"".join(known for place, known in seen if place.c_contiguous)
        self.places = [place for place, _ in seen if not place.c_contiguous]
        self.known = [known for place, known in seen if not place.c_contiguous]
        ids = {id(there) for there in self.there}
        self.others = [each for each in self.all if id(each[0]) not in ids]

    def is_untouched(self) -> bool:
        tensors = [there() for there in self.there]
        if any(tensor is None for tensor in tensors):
            return False
        if list(map(_address, tensors)) != self.how:  # some were moved
            return self._are_alike(self.all)
        return (
            b"".join(self.whole) == self.numbers
            and [place.tobytes() for place in self.places] == self.known
            and self._are_alike(self.others)
        )

    @staticmethod
    def _are_alike(tensors: Iterable[tuple[Any, ...]]) -> bool:
        """One by one: those on a GPU in one go, as each answer takes its time."""
        far = []
        for there, how, words, token, _ in tensors:
            tensor = there()
            if tensor is None:
                return False
            if words and how == _address(tensor) and not tensor.is_cpu:
                far.append((tensor, token[-1]))
            elif _numbers(tensor) != token:
                return False
        return not far or _far_alike(far)


@functools.cache
def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda held: tuple(held[name] for name in names)


def _is_fixed(value: Any) -> bool:
    """Whether this is a tuple of numbers or texts, which cannot change."""
    return type(value) is tuple and all(isinstance(each, _PLAIN) for each in value)


def _nested(value: Any) -> list[int]:
    out: list[int] = []
    _add_ids([value], out)
    return out


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(item, "__dict__", {}).items()
    for made in type(item).__mro__:
        slots = vars(made).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(item, name):
                yield name, getattr(item, name)


def _ids_of(item: Any, ignored: frozenset[str]) -> list[int]:
    """The addresses of all that an object holds, with the lengths of its lists and dicts."""
    out: list[int] = []
    held = getattr(item, "__dict__", None)
    if ignored or held is None:
        held = {name: value for name, value in _attributes(item) if name not in ignored}
    out.extend(map(id, held))
    _add_ids(held.values(), out)
    if isinstance(item, (dict, list, tuple, set)):
        entries: Iterable[Any] = dict.values(item) if isinstance(item, dict) else item
        out.append(len(item))
        if len(item) <= MANY:
            if isinstance(item, dict):
                out.extend(map(id, item))
            _add_ids(entries, out)
    return out


def _add_ids(values: Iterable[Any], out: list[int]) -> None:
    for value in values:
        kind = type(value)
        if kind not in _CONTAINERS or _is_fixed(value):
            out.append(id(value))
            continue
        out.append(id(kind))
        if size := len(value):
            out.append(size)
            if size > MANY:
                out.append(id(value))
            elif kind in _DICTS:
                out.extend(map(id, value))
                _add_ids(value.values(), out)
            else:
                _add_ids(value, out)


def _reference(item: Any) -> Callable[[], Any]:
    """Gives the object as long as it lives; one that cannot be referred to weakly lives on."""
    try:
        return ref(item)
    except TypeError:
        return _Held(item)


class _Held:
    """Like a weak reference, to what cannot be referred to so."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def __call__(self) -> Any:
        return self.item


def _numbers(tensor: Any) -> tuple[Any, ...]:
    """What changes when a tensor is changed: torch's count of that, and numbers from all over.

    The count alone does not do: LoRAs are merged into `weight.data`, where torch does not count. It
    is left out where all numbers are looked at. The device is left out, too: parts that take turns
    on a GPU are moved all the time.
    """
    import torch

    small = tensor.numel() <= SMALL
    version = 0 if small or tensor.is_inference() else tensor._version
    how: tuple[Any, ...]
    how = version, tensor.dtype, tuple(tensor.shape), tensor.requires_grad
    if tensor.layout != torch.strided or tensor.is_meta:
        return how
    how = *how, not tensor.is_contiguous() and _is_channels_last(tensor)
    words = _words_in(tensor)
    if not words:
        return *how, _sampled(tensor)
    if tensor.device.type == "cpu":
        return *how, _places(tensor.data_ptr(), words).tobytes()
    return *how, _far_words(tensor, words).cpu().numpy().tobytes()


def _sampled(tensor: Any, places: int = PLACES) -> bytes:
    """Numbers from all over a tensor, however it lies in memory."""
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided:
        return b""
    with torch.no_grad():
        flat = tensor.detach().reshape(-1)
        if flat.numel() > SMALL:
            flat = flat[:: max(1, flat.numel() // places)]
        return flat.contiguous().view(torch.uint8).cpu().numpy().tobytes()


def _words_in(tensor: Any) -> int:
    """How many 32-bit words of memory a tensor lies in; 0 where these cannot be looked at."""
    import torch

    if tensor.is_meta or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return 0
    dense = tensor.is_contiguous() or _is_channels_last(tensor)
    return tensor.numel() * tensor.itemsize // 4 if dense else 0


def _is_channels_last(tensor: Any) -> bool:
    import torch

    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _address(tensor: Any) -> tuple[Any, ...]:
    """Where a tensor lies, how, and torch's count of its changes."""
    return (
        tensor.data_ptr(), tensor._version, tensor.dtype, tensor.shape, tensor.stride(),
        tensor.requires_grad,
    )  # fmt: skip


def _step(words: int) -> int:
    return 1 if words <= SMALL else words // PLACES


def _places(address: int, words: int) -> memoryview:
    return memoryview(_memory(words).from_address(address))[:: _step(words)]


def _far_words(tensor: Any, words: int) -> Any:
    """The same of a tensor on a GPU, still there."""
    import torch

    with torch.no_grad():
        flat = tensor.detach()
        if not flat.is_contiguous():
            flat = flat.permute(0, 2, 3, 1)
        flat = flat.reshape(-1)
        return flat[: words * 4 // flat.itemsize].view(torch.int32)[:: _step(words)]


def _far_alike(far: list[tuple[Any, bytes]]) -> bool:
    """Whether tensors on GPUs are as they were; asked in one go, as each answer takes its time."""
    import torch

    by_device: dict[Any, list[tuple[Any, bytes]]] = {}
    for tensor, known in far:
        by_device.setdefault(tensor.device, []).append((tensor, known))
    return all(
        torch.cat([_far_words(tensor, _words_in(tensor)) for tensor, _ in each])
        .cpu().numpy().tobytes() == b"".join(known for _, known in each)
        for each in by_device.values()
    )  # fmt: skip


@functools.cache
def _memory(words: int) -> Any:
    """So many 32-bit words as ctypes sees them."""
    return ctypes.c_int32 * words


def _bytes(array: Any) -> tuple[Any, ...]:
    flat = array.reshape(-1)
    few = flat if flat.size <= SMALL else flat[:: flat.size // SMALL]
    return array.dtype.str, array.shape, few.tobytes()


def _is_rust(value: Any) -> bool:
    return type(value).__module__.startswith("tokenizers") and hasattr(value, "get_vocab_size")


def _reads(tokenizer: Any) -> tuple[Any, ...]:
    """How a tokenizer of the package tokenizers reads a text; its limits are set by each call."""
    model = tokenizer.model
    added = tokenizer.get_added_tokens_decoder()
    text, split = PROBE, tokenizer.pre_tokenizer
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    words = [word for word, _ in split.pre_tokenize_str(text)] if split else [text]
    return (
        type(model).__name__,
        tokenizer.get_vocab_size(),
        tuple(words),
        tuple(token.id for word in words for token in model.tokenize(word)),
        tuple((number, repr(token)) for number, token in added.items()),
        repr(getattr(model, "dropout", None)),
        str(tokenizer.post_processor)[:2000],
    )


def _is_nothing(item: Any, name: str, value: Any) -> bool:
    """Whether an attribute says what its absence would.

    Nothing is an empty list or None where the class has no such attribute, as switches leave that
    were switched off again; and the class's own method, as hooks leave that were removed.
    """
    known = getattr(type(item), name, NOTHING)
    if isinstance(value, types.MethodType):
        return value.__self__ is item and value.__func__ is known
    if known is not NOTHING or name in _PARTS:
        return False
    return value is None or (type(value) in _CONTAINERS and not value)


def _meaning(value: Any) -> tuple[Any, ...]:
    """A plain value as it is compared; a dtype's name, which libraries write in its place, is one.

    A float by its digits, as NaN is not equal to itself.
    """
    if type(value) is str:
        value = _dtypes().get(value.removeprefix("torch."), value)
    return type(value), repr(value) if type(value) is float else value


@functools.cache
def _dtypes() -> dict[str, Any]:
    """torch's dtypes by their names."""
    import torch

    return {name: each for name, each in vars(torch).items() if isinstance(each, torch.dtype)}


def _first(entries: Iterable[Any], count: int) -> list[Any]:
    return [entry for entry, _ in zip(entries, range(count))]


def name_of(value: Any) -> str:
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return f"{module}.{name}" if name and module else name or type(value).__qualname__


def _compared(one: Tokens, other: Tokens) -> Differences:
    places = sorted(one.keys() | other.keys())
    pairs = ((place, one.get(place, NOTHING), other.get(place, NOTHING)) for place in places)
    return {place: (_words(a), _words(b)) for place, a, b in pairs if not _alike(a, b)}


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return one == other and list(map(type, one)) == list(map(type, other))


def _words(token: tuple[Any, ...]) -> str:
    """A value as a sentence names it: short."""
    if isinstance(token[0], type):
        shown = repr(token[1]) if len(token) == 2 and token[0] is not float else (
            token[1] if token[0] is float else "other numbers")  # fmt: skip
    else:
        shown = " ".join(str(part) for part in token[:2] if not isinstance(part, tuple))
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
