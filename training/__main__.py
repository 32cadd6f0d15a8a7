"""python -m training STAGE [--option value …]: each stage is a module with `train` or `main`."""

from __future__ import annotations

import importlib
import inspect
import sys


def main(argv: list[str]) -> None:
    """Calls the stage's function with the options, converted to the types of their defaults."""
    stage, *words = argv
    module = importlib.import_module(f"training.{stage}")
    function = getattr(module, "train", None) or module.main
    defaults = {k: p.default for k, p in inspect.signature(function).parameters.items()}
    pairs = zip(words[::2], words[1::2], strict=True)
    options = {k.removeprefix("--").replace("-", "_"): v for k, v in pairs}
    function(**{k: type(defaults[k])(v) for k, v in options.items()})


main(sys.argv[1:])
