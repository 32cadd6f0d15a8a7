"""python -m sdnb.nbtest notebooks/: what is wrong with stored notebooks, or their outputs anew."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from sdnb import interactive
from sdnb.nbtest import notebooks

PROG = "python -m sdnb.nbtest"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        The exit code: 0 where all is well, 1 where something is wrong with a notebook, 2 where
        the arguments are or a package is missing, 130 where it was stopped.
    """
    p = argparse.ArgumentParser(
        prog=PROG, description="Says what should not be in stored notebooks: too many bytes, long "
        "cells, absolute paths, tokens, timings, addresses, widgets without state.",
    )  # fmt: skip
    p.add_argument("paths", nargs="+", type=Path, help="notebooks, or folders with notebooks")
    p.add_argument(
        "--update", action="store_true",
        help="first make their outputs anew, in the environment that the project's tests have "
        "(its pytest configuration and conftest.py), and compare them with another run by nbval",
    )  # fmt: skip
    interactive.escape_what_the_console_lacks()
    args = p.parse_args(argv)
    try:
        if missing := notebooks.missing(update=args.update):
            raise ValueError(missing)
        paths = notebooks.find(args.paths)
    except ValueError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    try:
        agree = not args.update or updated(paths)
    except KeyboardInterrupt:  # what runs the notebooks was stopped too, and said so
        return 130
    wrong = 0
    for path in paths:
        found = notebooks.faults(path)
        wrong += bool(found)
        for fault in found:
            print(f"{path}: {fault}")
    print(f"{len(paths)} notebook{'s' * (len(paths) != 1)}, {wrong} with something wrong.")
    return 0 if agree and not wrong else 1


def updated(paths: list[Path]) -> bool:
    """Makes the notebooks' outputs anew, and reports whether nbval agrees with them."""
    words = ["-m", "pytest", "--nbtest-update", *map(str, paths)]
    code = subprocess.run([sys.executable, *words]).returncode
    print("nbval agrees." if code == 0 else "nbval does not agree with what was stored.")
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
