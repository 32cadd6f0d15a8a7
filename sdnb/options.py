"""Options: the settings as functions take them, each spelled out in the functions' signatures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

if TYPE_CHECKING:
    from sdnb.image_input import Source as Source
    from sdnb.lora_weights import Weight as Weight
    from sdnb.records.store import Store as Store

Function = TypeVar("Function", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """One value of each setting; None, as left out: the pipeline's own, or that of the `Settings`.

    Arguments are explained by `sdnb.Settings`.
    """

    negative_prompt: str | None
    steps: int | None
    guidance: float | None
    scheduler: str | None
    seed: int | None
    width: int | None
    height: int | None
    strength: float | None
    long_prompt: str | None
    prompt_syntax: str | None
    keep: str | None
    lora: Mapping[str, Weight] | str | None
    toward: Mapping[str, Any] | None


class Axes(TypedDict, total=False):
    """The same, where each may also be a list of values that are compared."""

    negative_prompt: str | Iterable[str] | None
    steps: int | Iterable[int | None] | None
    guidance: float | Iterable[float | None] | None
    scheduler: str | Iterable[str | None] | None
    seed: int | Iterable[int] | None
    width: int | Iterable[int | None] | None
    height: int | Iterable[int | None] | None
    strength: float | Iterable[float | None] | None
    long_prompt: str | Iterable[str] | None
    prompt_syntax: str | Iterable[str | None] | None
    keep: str | Iterable[str | None] | None
    lora: Mapping[str, Weight | Iterable[Weight]] | Iterable[Any] | str | None
    toward: Mapping[str, Any] | Iterable[Mapping[str, Any] | None] | None


def spelled_out(options: Any) -> Callable[[Function], Function]:
    """Puts each option into a function's signature, where it has `**options`.

    So Shift-Tab, completion and `help` name them all, and mypy checks callers by the TypedDict.
    Too many positional arguments raise a TypeError that shows the keyword form.

    Arguments:
        options: a TypedDict, `Options` or `Axes`.

    Example:
        >>> @spelled_out(Options)
        ... def draw(prompt, *, pipe=None, **options): ...
        >>> list(inspect.signature(draw).parameters)[:4]
        ['prompt', 'negative_prompt', 'steps', 'guidance']
        >>> draw("a fox", 512, 512)
        Traceback (most recent call last):
            ...
        TypeError: draw takes only prompt without a name, and 2 more were given: name each, as in \
draw("a fox", steps=50, guidance=7.5, width=512, height=512).
    """

    def spelled(function: Function) -> Function:
        own = list(inspect.signature(function).parameters.values())
        free = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
        named = [p for p in own if p.kind is p.KEYWORD_ONLY]
        each = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
            for name, annotation in _annotations(options).items()
        ]

        @functools.wraps(function)
        def called(*args: Any, **given: Any) -> Any:
            if (more := len(args) - len(free)) > 0:
                names, name = " and ".join(p.name for p in free), function.__name__
                raise TypeError(
                    f"{name} takes only {names} without a name, and {more} more "
                    f"{'were' if more > 1 else 'was'} given: name each, as in "
                    f'{name}("a fox", steps=50, guidance=7.5, width=512, height=512).'
                )
            return function(*args, **given)

        called.__signature__ = inspect.signature(function).replace(  # type: ignore[attr-defined]
            parameters=[*free, *each, *named]
        )
        return called  # type: ignore[return-value]

    return spelled


def _annotations(options: Any) -> dict[str, Any]:
    """Names and types, the types as they are written above."""
    kinds = options.__annotations__.items()
    return {name: getattr(kind, "__forward_arg__", kind) for name, kind in kinds}
