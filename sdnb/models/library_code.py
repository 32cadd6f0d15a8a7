"""The code that a pipeline runs: whether the libraries' classes and functions were replaced.

A patch of one block's class, or of `torch.nn.functional`, changes pictures as weights do, and is
nowhere to be seen in the pipeline. A class is compared with how it was when sdnb first saw it; what
was replaced before that is found by the file of its code.
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from operator import attrgetter, is_
from pathlib import Path
from typing import Any

from sdnb import compat
from sdnb.models.value_tokens import name_of

# the packages that pictures are made by, whose modules may share functions
LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "huggingface_hub", "numpy", "PIL",
             "tokenizers", "safetensors", "peft", "sdnb", "torchvision", "einops", "torchao",
             "bitsandbytes")  # fmt: skip
# packages whose functions stand in these packages' modules, and make no picture
HELPERS = ("typing_extensions", "packaging", "tqdm")
# packages whose objects speak with the hub; libraries make them when they first need one
CLIENTS = ("huggingface_hub", "httpx")
# what Python itself writes into a class as it goes
_HARMLESS = {
    "__slotnames__", "__doc__", "__annotations__", "__abstractmethods__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__dict__", "__weakref__",
    "__warningregistry__",  # what a module has warned of
    "__builtins__",  # where terminals and notebooks put the last value, and input() anew each cell
} | compat.CLASSES_KEEP  # fmt: skip
_code_of = attrgetter("__code__", "__defaults__")
_spaces: dict[int, _Namespace] = {}  # of each class and module, by its address; they live on


class _Namespace:
    """A class's or a module's names, as they were when they were first seen."""

    def __init__(self, owner: Any, callables_only: bool) -> None:
        self.owner = owner
        self.name = owner.__name__ if isinstance(owner, types.ModuleType) else name_of(owner)
        names = vars(owner)
        self.held, self.names = list(names.values()), set(names)
        self.values = {
            name: value
            for name, value in names.items()
            if name not in _HARMLESS
            # by its type: torch has values that warn when they are asked for their class
            and not issubclass(type(value), types.ModuleType)
            and (callable(value) or not callables_only)
        }
        self.lists = [v for v in self.values.values() if type(v) in (dict, list) and v]
        self.entries = self._entries()
        self.functions = [f for v in self.values.values() for f in _functions(v)]
        self.codes = list(map(_code_of, self.functions))
        self.foreign = self._foreign()

    def _entries(self) -> list[Any]:
        out: list[Any] = []
        for each in self.lists:
            out.extend(each.values() if type(each) is dict else each)
        return out

    def _foreign(self) -> dict[str, tuple[str, str]]:
        """Functions whose code stands in no file of the libraries."""
        found = {}
        for name, value in self.values.items():
            for function in _functions(value):
                if not _is_known(function.__code__.co_filename):
                    found[f"{self.name}.{name}"] = "the library's own", name_of(function)
        return found

    def is_untouched(self) -> bool:
        if not _are_same(self.owner.__dict__.values(), self.held):
            return False
        return not self.lists or _are_same(self._entries(), self.entries)

    def differences(self) -> dict[str, tuple[str, str]]:
        names = vars(self.owner)
        if not _are_same(names.values(), self.held):
            changed = {
                f"{self.name}.{name}": (_shown(value), _shown(names.get(name, "nothing")))
                for name, value in self.values.items()
                if names.get(name, self) is not value
                and not (isinstance(value, (str, int, float)) and names.get(name, self) == value)
                and not (value is None and _is_client(names.get(name)))
            }
            changed |= {
                f"{self.name}.{name}": ("nothing", _shown(names[name]))
                for name in names.keys() - self.names - _HARMLESS
                if self._counts(name)
            }
            if changed:
                return changed | self.foreign
            # Python or a library has added something harmless
            self.held = list(names.values())
        if not _are_same(self._entries(), self.entries):
            return {f"{self.name}'s lists": ("the library's own", "changed")}
        if list(map(_code_of, self.functions)) != self.codes:
            at = next(f for f, c in zip(self.functions, self.codes) if _code_of(f) != c)
            return {f"{self.name}.{at.__name__}": ("the library's own", "other code")}
        return self.foreign

    def _counts(self, name: str) -> bool:
        """Whether a new name is found before another: in a module, only what hides a builtin."""
        if isinstance(self.owner, types.ModuleType):
            return hasattr(builtins, name) and not name.startswith("__")
        return True


def _is_client(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in CLIENTS


def differences(classes: Iterable[type]) -> dict[str, tuple[str, str]]:
    """What was replaced in the code of these classes, or in the modules that they stand in.

    Arguments:
        classes: of the objects that a pipeline is made of.

    Returns:
        The name of each function or value that is another: (what it was, what it is), in words.

    Example:
        >>> import torch
        >>> differences([torch.nn.Linear])
        {}
        >>> plain = torch.nn.Linear.forward
        >>> torch.nn.Linear.forward = lambda self, x: plain(self, x) * 2
        >>> list(differences([torch.nn.Linear]))
        ['torch.nn.modules.linear.Linear.forward']
        >>> torch.nn.Linear.forward = plain
        >>> differences([torch.nn.Linear])
        {}
    """
    whole = frozenset(classes)
    if whole not in _libraries or _libraries[whole].is_foreign:  # it may have been put back since
        _libraries[whole] = _Library(whole)
    return _libraries[whole].differences()


class _Library:
    """All the names that some classes' objects use, looked at together: that is quicker."""

    def __init__(self, classes: frozenset[type]) -> None:
        self.spaces = []
        for owner, callables_only in _owners(classes):
            if id(owner) not in _spaces or _spaces[id(owner)].foreign:
                _spaces[id(owner)] = _Namespace(owner, callables_only)
            self.spaces.append(_spaces[id(owner)])
        self.functions = [function for space in self.spaces for function in space.functions]
        self.codes = [code for space in self.spaces for code in space.codes]
        self.is_foreign = any(space.foreign for space in self.spaces)
        self.known: tuple[list[Any], list[Any]] | None = None

    def _now(self) -> tuple[list[Any], list[Any]]:
        """All values of all names, and what is in their lists: to be compared as one."""
        names = chain.from_iterable([space.owner.__dict__.values() for space in self.spaces])
        return list(names), list(chain.from_iterable([space._entries() for space in self.spaces]))

    def differences(self) -> dict[str, tuple[str, str]]:
        if not self.is_foreign and list(map(_code_of, self.functions)) == self.codes:
            now = self._now()
            if self.known is not None and _are_one(now, self.known):
                return {}
            if all(space.is_untouched() for space in self.spaces):
                self.known = now
                return {}
        found: dict[str, tuple[str, str]] = {}
        for space in self.spaces:
            found |= space.differences()
        return found


_libraries: dict[frozenset[type], _Library] = {}


def _owners(classes: frozenset[type]) -> list[tuple[Any, bool]]:
    """The classes with all they inherit from, their modules, and the modules that these use.

    Of the last the functions are looked at; of the others all values.
    """
    whole = {c for made in classes for c in made.__mro__ if _package(c.__module__)}
    modules = {c.__module__: sys.modules.get(c.__module__) for c in whole}
    used = {
        value.__name__: value
        for name, module in modules.items()
        for value in vars(module).values()
        if issubclass(type(value), types.ModuleType)
        and _package(value.__name__)
        # torch's own modules know all of torch
        and (name.partition(".")[0] != "torch" or value.__name__ == "torch.nn.functional")
    }
    ordered = sorted(whole, key=name_of)
    return [
        *((made, False) for made in ordered),
        *((module, name == "torch") for name, module in sorted(modules.items()) if module),
        *((used[name], True) for name in sorted(used) if name not in modules),
    ]


def _are_same(values: Collection[Any], known: list[Any]) -> bool:
    """Whether these are the very same objects, in the same order."""
    return len(values) == len(known) and all(map(is_, values, known))


def _are_one(values: object, known: object) -> bool:
    """Whether these are equal, most of them by being the very same: a tenth of the time."""
    try:
        return bool(values == known)
    except (RuntimeError, TypeError, ValueError):  # an array or a tensor is there now
        return False


def _package(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def _function(value: Any) -> Any:
    """The function within a method of any kind; None where there is none."""
    # by its type: transformers' stand-ins for what is not installed raise whatever they are asked
    if issubclass(type(value), (staticmethod, classmethod, types.MethodType)):
        value = value.__func__
    elif issubclass(type(value), property):
        value = value.fget
    return value if type(value) is types.FunctionType else None


def _functions(value: Any) -> Iterator[Any]:
    """The function within a method of any kind, and those that it wraps."""
    function = _function(value)
    while isinstance(function, types.FunctionType):
        yield function
        function = getattr(function, "__wrapped__", None)


def _is_known(file: str) -> bool:
    """Whether code in that file is a library's, or Python's own, or was made by Python."""
    if file.startswith("<"):  # what dataclasses write; a notebook's cells have a name, too
        return not file.startswith(("<ipython", "<stdin", "<console"))
    parts = Path(file).parts
    if "site-packages" in parts or "dist-packages" in parts:
        at = max(i for i, part in enumerate(parts) if part in ("site-packages", "dist-packages"))
        return parts[at + 1].removesuffix(".py") in (*LIBRARIES, *HELPERS)
    return file.startswith(_homes())


def _homes() -> tuple[str, ...]:
    """Where Python's own library is, and packages that are used from a folder."""
    there = [sys.modules.get(name) for name in LIBRARIES]
    files = [m.__file__ for m in there if m is not None and getattr(m, "__file__", None)]
    return (str(Path(types.__file__).parent), *(str(Path(f).parent) for f in files if f))


def _shown(value: Any) -> str:
    shown = name_of(value) if callable(value) or isinstance(value, property) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
