"""python -m training STAGE [--option value …]; `all` runs every stage in order.

Each stage is a module with a function `train` or `main`, whose arguments are its options. A stage
that was stopped goes on from its last checkpoint, one that is done ends at once.
"""

from __future__ import annotations

import importlib
import inspect
import sys

STAGES = ["autoencoder", "text", "denoiser", "decoder", "export", "judge", "score"]
MORE = ["adopt", "curves", "log", "sheet"]


def main(argv: list[str]) -> None:
    """Calls the stage's function with the options, converted to the types of their defaults."""
    stage, *words = argv or ["--help"]
    if stage == "all":
        for each in STAGES:
            print(f"# {each}", flush=True)
            main([each])
        return
    if stage not in [*STAGES, *MORE]:
        raise SystemExit(f"{__doc__}\nThe stages are {', '.join(STAGES)}; and {', '.join(MORE)}.")
    module = importlib.import_module(f"training.{stage}")
    function = getattr(module, "train", None) or module.main
    defaults = {k: p.default for k, p in inspect.signature(function).parameters.items()}
    pairs = zip(words[::2], words[1::2], strict=True)
    options = {k.removeprefix("--").replace("-", "_"): v for k, v in pairs}
    function(**{k: type(defaults[k])(v) for k, v in options.items()})


main(sys.argv[1:])
