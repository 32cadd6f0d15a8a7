"""Fingerprint: how an object is, with all that it holds, so that any later change can be named.

Nothing is listed that might be changed: everything that can be reached from the object is looked
at, by what it is and not by its name. Modules, configs, processors and tokenizers are followed
attribute by attribute; weights by their identity, torch's version counter, and values from all
over them; tokenizers written in Rust by how they read a text.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sdnb import compat
from sdnb.models import tokenizer_probe, value_tokens, weight_samples
from sdnb.models.identities import (
    CONTAINERS,
    DICTS,
    ITSELF,
    MANY,
    Identities,
    Node,
    attributes,
    is_fixed,
    reference,
)
from sdnb.models.value_tokens import NOTHING, PLAIN, Differences, Tokens, name_of
from sdnb.models.weight_samples import PLACES, SMALL, Weight, Weights

_OPAQUE = (types.ModuleType, type, types.BuiltinFunctionType, types.CodeType, property)


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
        self._places = PLACES  # that are looked at of an object's weights
        self._tokens: Tokens = {}  # of the values of the object that is looked at
        self._known: list[Tokens] = []  # the same of each of the nodes
        self._nodes: list[Node] = []
        self._weights: list[Weight] = []
        self._probes: list[tuple[Callable[[], Any], Callable[[Any], Any], Any, str]] = []
        self._held: list[Any] = []  # so that no other object gets the same address
        self._seen: set[int] = set()
        self._todo: list[tuple[str, Any]] = []
        self._changed: tuple[Fingerprint, Differences] | None = None
        self._note("", root)
        self._roots = self._tokens  # what the object itself is
        while self._todo:
            self._look(*self._todo.pop())
        self._together = Identities(self._nodes), Weights(self._weights)

    def differences(self, root: object) -> Differences:
        """What has changed in the object since: where -> (how it was, how it is), in words."""
        if self._is_untouched():
            return {}
        if self._changed and self._changed[0]._is_untouched():
            return self._changed[1]
        # what is known sees each write to a weight; a thorough look, what stands in its place
        nearby = self._nearby()
        now = Fingerprint(root, self._ignored, self._shared, self._harmless)
        if changed := self._to(now) | nearby:
            self._changed = now, changed
        else:  # other objects that are the same
            vars(self).update(vars(now))
        return changed

    def differences_to(self, other: object) -> Differences:
        """How another object differs: where -> (how this one was, how the other is), in words."""
        return self._to(Fingerprint(other, self._ignored, self._shared, self._harmless))

    def _to(self, other: Fingerprint) -> Differences:
        return value_tokens.differences(self._whole(), other._whole())

    def _whole(self) -> Tokens:
        return {k: token for known in (self._roots, *self._known) for k, token in known.items()}

    def _nearby(self) -> Differences:
        """The differences in the objects that are known, without looking for others."""
        changed = self.in_objects()
        for weight in self._weights:
            if weight.is_changed():
                changed[weight.path] = "other values", "other values"
        for held, read, token, path in self._probes:
            if (item := held()) is not None and (reads := read(item)) != token:
                rust = read is tokenizer_probe.reads
                words = ("the tokenizer", reads) if rust else (type(item), reads)
                changed[path] = "as loaded", value_tokens.words(words)
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
                changed |= value_tokens.differences(self._known[i], now._known[0])
        return changed

    def addresses(self) -> frozenset[int]:
        """Of the objects and tensors in it that there still are."""
        items = [node.there() for node in self._nodes]
        items += [weight.there() for weight in self._weights]
        return frozenset(id(item) for item in items if item is not None)

    # ---------------------------------------------------------------- a quick second look

    def _is_untouched(self) -> bool:
        """Whether all objects are the very same, and hold the very same."""
        nodes, weights = self._together
        if not (nodes.are_untouched() and weights.are_untouched()):
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
        # vectors of single words are written through .data, which the counter misses
        self._places = getattr(item, "__dict__", {}).get("num_embeddings", PLACES)
        ignored = self._ignored(type(item))
        self._nodes.append(Node(path, item, ignored))
        self._held.append(tuple(getattr(item, "__dict__", ())))  # the names
        start = f"{path}." if path else ""
        for name, value in attributes(item):
            if name in ignored or _is_nothing(item, name, value):
                continue
            if name in compat.MODULE_DICTS and type(value) in DICTS:
                self._tokens[f"{start}{name}"] = ("the list", tuple(value))
                for key, part in value.items():
                    self._note(f"{start}{key}", part)
            else:
                self._note(f"{start}{name}", value)
        if isinstance(item, (Mapping, *ITSELF)):
            self._note_entries(path, item, ignored)

    def _note(self, path: str, value: Any) -> None:
        """Notes one value; an object's own attributes are looked at later."""
        import numpy
        import torch

        kind: Any = type(value)
        if isinstance(value, (*PLAIN, torch.dtype, torch.device, torch.Size)):
            self._held.append(value)
            self._tokens[path] = value_tokens.plain(value)
        elif id(value) in self._elsewhere:
            self._tokens[path] = ("the object", name_of(value), id(self._canonical(value)))
        elif kind in CONTAINERS:
            if len(value) > MANY or is_fixed(value):
                self._held.append(value)
            self._note_entries(path, value)
        elif isinstance(value, torch.Tensor):
            self._note_tensor(path, value)
        elif isinstance(value, (numpy.ndarray, numpy.generic)):
            numbers = _numbers_in(value)
            self._tokens[path] = kind, numbers
            self._probes.append((reference(value), _numbers_in, numbers, path))
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
            self._note_function(path, value)
        elif tokenizer_probe.is_rust(value):
            self._tokens[path] = ("the tokenizer", how := tokenizer_probe.reads(value))
            self._held.append(value)
            self._probes.append((reference(value), tokenizer_probe.reads, how, path))
        elif hasattr(value, "__dict__") or hasattr(kind, "__slots__") or isinstance(value, ITSELF):
            if "" not in self._ignored(kind):
                self._tokens[path] = ("an object", name_of(kind), id(kind))
            self._child(path, value)
        else:  # nothing can be seen of it but which it is
            self._held.append(value)
            shown = repr(value) if kind.__name__ == "AddedToken" else id(value)
            self._tokens[path] = ("the object", kind.__qualname__, shown)

    def _note_tensor(self, path: str, value: Any) -> None:
        import torch

        kind: Any = type(value)
        if kind.__getattribute__ is torch.Tensor.__getattribute__ and vars(value):
            self._todo.append((path, value))  # attributes of a weight
        self._weights.append(weight := Weight(path, value, self._places))
        self._tokens[path] = kind, *weight.sample
        if value.numel() > SMALL:  # not all of it is looked at
            # a move to another device replaces buffers, and never parameters
            is_buffer = kind is torch.Tensor and not value.is_meta
            wide = weight_samples.spread(value) if is_buffer else id(self._canonical(value))
            self._tokens[path] = *self._tokens[path], wide

    def _note_function(self, path: str, value: types.FunctionType) -> None:
        self._held.append(value)
        self._tokens[path] = ("the function", name_of(value), id(value.__code__))
        if id(value) not in self._seen:
            self._seen.add(id(value))
            for i, cell in enumerate(value.__closure__ or ()):
                try:
                    self._note(f"{path}({i})", cell.cell_contents)
                except ValueError:  # not set yet
                    self._tokens[f"{path}({i})"] = ("an empty cell",)

    def _note_once(self, value: Any, path: str) -> None:
        self._held.append(value)
        self._tokens[path] = ("the object", name_of(value))

    def _note_entries(self, path: str, entries: Any, ignored: frozenset[str] = frozenset()) -> None:
        kind, size = type(entries).__name__, len(entries)
        if not isinstance(entries, (list, tuple)):
            self._held.append([key for key in entries if isinstance(key, PLAIN)])
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
        known = reference(value)
        self._held.append(known)
        return known


def _is_nothing(item: Any, name: str, value: Any) -> bool:
    """Whether an attribute means the same as its absence.

    Nothing is an empty list or None where the class has no such attribute, as switches leave that
    were switched off again; and the class's own method, as hooks leave that were removed.
    """
    known = getattr(type(item), name, NOTHING)
    if isinstance(value, types.MethodType):
        return value.__self__ is item and value.__func__ is known
    if known is not NOTHING or name in compat.MODULE_DICTS:
        return False
    return value is None or (type(value) in CONTAINERS and not value)


def _numbers_in(array: Any) -> tuple[Any, ...]:
    """A NumPy array's dtype, shape and values: of a large one from all over it."""
    flat = array.reshape(-1)
    few = flat if flat.size <= SMALL else flat[:: flat.size // SMALL]
    return array.dtype.str, array.shape, few.tobytes()


def _first(entries: Iterable[Any], count: int) -> list[Any]:
    return [entry for entry, _ in zip(entries, range(count))]
