"""python -m training STAGE [--option value …]; `all` runs every stage in order.

Each stage is a module with a function `train` or `main`, whose arguments are its options. A stage
that was stopped goes on from its last checkpoint, one that is done ends at once. `all` hands its
options to the stages that have them; with `--share 0.01` each takes a hundredth of its steps,
scenes and prompts, to see that all of it runs.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

# the stages in order, and what `--share` makes less of each
STAGES = {
    "autoencoder": ("steps",), "text": ("steps",), "denoiser": ("steps", "decay", "count"),
    "decoder": ("steps",), "export": (), "judge": ("steps",), "score": ("count",),
}  # fmt: skip
MORE = ("adopt", "curves", "log", "sheet")


def main(argv: list[str]) -> None:
    """Calls the stage's function with the options, converted to the types of their defaults."""
    stage, *words = argv or ["--help"]
    pairs = zip(words[::2], words[1::2], strict=True)
    options = {k.removeprefix("--").replace("-", "_"): v for k, v in pairs}
    if stage == "all":
        share = float(options.pop("share", 1))
        for each in STAGES:
            print(f"# {each}", flush=True)
            function, defaults = _stage(each)
            less = {k: max(4, round(defaults[k] * share)) for k in STAGES[each]}
            given = {k: type(defaults[k])(v) for k, v in options.items() if k in defaults}
            function(**(less | given))
    elif stage in [*STAGES, *MORE]:
        function, defaults = _stage(stage)
        function(**{k: type(defaults[k])(v) for k, v in options.items()})
    else:
        raise SystemExit(f"{__doc__}\nThe stages are {', '.join(STAGES)}; and {', '.join(MORE)}.")


def _stage(name: str) -> tuple[Callable[..., None], dict[str, Any]]:
    """A stage's function, and its options with their defaults."""
    module = importlib.import_module(f"training.{name}")
    function = getattr(module, "train", None) or module.main
    return function, {k: p.default for k, p in inspect.signature(function).parameters.items()}


main(sys.argv[1:])
