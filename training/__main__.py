"""python -m training STAGE [--option value …]; `all` runs every stage in order.

Each stage is a module with a function `train` or `main`, whose arguments are its options. A stage
that was stopped goes on from its last checkpoint, one that is done ends at once. `all` hands its
options to the stages that have them; with `--share 0.01` each takes a hundredth of its steps,
scenes and prompts, to see that all of it runs.

Where a machine is lent for minutes at a time: `all --minutes 7.5 --calls 2` gives the denoiser
what two calls of 7.5 minutes leave beside the other stages, and stops when this call's are over,
with everything saved; the same command again goes on.
"""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

from training import run

# the stages in order, and what `--share` makes less of each
STAGES = {
    "places": (), "autoencoder": ("steps",), "text": ("steps",), "denoiser": ("steps", "scenes"),
    "decoder": ("steps",), "export": (), "judge": ("steps",), "score": ("count", "prompts"),
}  # fmt: skip
MORE = ("adopt", "levers", "log", "lora", "pack", "sheet")
AFTER = 4.0  # minutes that the stages after the denoiser take on a GPU
AGAIN = 1.0  # minutes that a second call takes to import, compile and draw its first scenes


def main(argv: list[str]) -> None:
    """Calls the stage's function with the options, converted to the types of their defaults."""
    stage, *words = argv or ["--help"]
    pairs = zip(words[::2], words[1::2], strict=True)
    options = {k.removeprefix("--").replace("-", "_"): v for k, v in pairs}
    if stage == "all":
        everything(options)
    elif stage in [*STAGES, *MORE]:
        function, defaults = _stage(stage)
        function(**{k: _as(defaults[k], v) for k, v in options.items()})
    else:
        raise SystemExit(f"{__doc__}\nThe stages are {', '.join(STAGES)}; and {', '.join(MORE)}.")


def everything(options: dict[str, str]) -> None:
    """All stages, as far as the minutes go."""
    share, calls = float(options.pop("share", 1)), int(options.pop("calls", 1))
    minutes = float(options.pop("minutes", math.inf))
    run.Clock.minutes = minutes
    counted = run.Run("calls")
    made = (counted.load() or {"calls": 0})["calls"]
    counted.save({"calls": made + 1})
    for stage in STAGES:
        print(f"# {stage}", flush=True)
        function, defaults = _stage(stage)
        less = {k: max(4, round(defaults[k] * share)) for k in STAGES[stage]}
        given = {k: _as(defaults[k], v) for k, v in options.items() if k in defaults}
        if stage == "denoiser" and minutes < math.inf:
            later = max(0, calls - made - 1) * (minutes - AGAIN)
            given.setdefault("minutes", run.Clock.seconds_left() / 60 + later - AFTER)
        try:
            function(**(less | given))
        except run.OutOfTimeError:
            print(f"The minutes are over in {stage}: the same command goes on.", flush=True)
            return


def _as(default: Any, word: str) -> Any:
    """An option's word in the type of its default."""
    return (
        word.lower() in ("true", "yes", "1") if isinstance(default, bool) else type(default)(word)
    )


def _stage(name: str) -> tuple[Callable[..., None], dict[str, Any]]:
    """A stage's function, and its options with their defaults."""
    module = importlib.import_module(f"training.{name}")
    function = getattr(module, "train", None) or module.main
    return function, {k: p.default for k, p in inspect.signature(function).parameters.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
