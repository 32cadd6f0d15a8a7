"""python -m sdnb "a prompt" --steps 12 24 38 50: pictures and comparisons from a terminal."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sdnb import api, doctor, interactive
from sdnb.files import free_name
from sdnb.models import cache
from sdnb.options import Axes
from sdnb.records import metadata
from sdnb.sweeps import axes

PROG = "python -m sdnb"


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    p = argparse.ArgumentParser(
        prog=PROG,
        description="Makes a picture from a text. Several values of a setting make a labelled "
        "sheet that compares them.",
        epilog=f'example: {PROG} "an astronaut riding a horse" --steps 12 24 38 50 --seed 510   '
        f"and: {PROG} doctor, which tells what this machine can do",
    )
    p.add_argument("prompt", nargs="+", help="what the picture shows; several make a sheet")
    several: dict[str, Any] = {"nargs": "+", "default": []}
    p.add_argument("--negative-prompt", help="what it should not show")
    p.add_argument(
        "--steps", type=int, metavar="N", help="1 to 1000; the model's own unless given", **several
    )
    p.add_argument(
        "--guidance", type=float, metavar="G", help="the model's own unless given", **several
    )
    p.add_argument("--scheduler", metavar="NAME", help="such as DDIM or 'Euler a'", **several)
    p.add_argument("--seed", type=int, metavar="N", help="drawn unless given", **several)
    own = "the model's own unless given"
    p.add_argument("--width", type=int, metavar="PIXELS", help=own, **several)
    p.add_argument("--height", type=int, metavar="PIXELS", help=own, **several)
    p.add_argument("--image", metavar="FILE", help="a picture to start from")
    p.add_argument("--mask", metavar="FILE", help="white where that is to be painted anew")
    p.add_argument("--strength", type=float, metavar="S", help="how much is redrawn", **several)
    p.add_argument("--keep", choices=("pixels",), help="the picture's own where the mask is black")
    p.add_argument("--prompt-syntax", choices=("compel",), help="weights, as in fox++")
    p.add_argument("--store", metavar="FOLDER", help="where finished pictures are kept")
    p.add_argument(
        "--long-prompt", choices=("error", "cut", "chunk"),
        help="a prompt longer than the model reads is an error unless it is to be cut, or read in "
        "pieces (chunk)",
    )  # fmt: skip
    p.add_argument("--model", help="'emoji', a folder, or a hub id")
    p.add_argument(
        "--lora", nargs="+", metavar="LORA", help="a file or hub id, with its own weight"
    )
    p.add_argument(
        "-o", "--output", metavar="FILE.png",
        help="where the picture or sheet goes (.png, .jpg or .webp), the sheet's pictures beside "
        "it as FILE-1.png, …; files of these names are replaced. Without it a free name is made "
        "from the prompt.",
    )  # fmt: skip
    return p


def main(argv: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        The exit code: 0, 1 where the model, the disk or the memory failed, 2 where the arguments
        are wrong, 130 where it was stopped.
    """
    interactive.escape_what_the_console_lacks()
    words = sys.argv[1:] if argv is None else argv
    if words == ["doctor"]:
        return report()
    p = parser()
    args = p.parse_args(words)
    # of LoRAs the files are named here; a way to another prompt is for code
    names = [name for name in Axes.__annotations__ if name not in ("lora", "toward")]
    given = {name: getattr(args, name) for name in ("prompt", *names)}
    settings: dict[str, Any] = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in given.items()
        if value not in (None, [])
    }
    try:
        output = metadata.check_writable(args.output or free_name(args.prompt[0]))
        axes.cells(*axes.split(**settings))  # wrong values show before a model is loaded
        # importing torch and diffusers takes seconds, and shows nothing
        print(f"Loading {args.model or 'the model'} ...", file=sys.stderr, flush=True)
        pipe, store = cache.load(args.model, lora=args.lora), args.store or True
        sheet = api.compare(**settings, image=args.image, mask=args.mask, pipe=pipe, store=store)
        if len(sheet) == 1:
            print(sheet[0].save(output))
        else:
            print(sheet.save(output), *sheet.files(output), sep="\n")
    except (ValueError, TypeError, ModuleNotFoundError) as error:
        print(f"{PROG}: {_for_terminal(str(error))}", file=sys.stderr)
        return 2
    except (OSError, MemoryError) as error:
        print(f"{PROG}: {str(error) or 'the memory is too small'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROG}: stopped", file=sys.stderr)
        return 130
    return 0


def _for_terminal(sentence: str) -> str:
    """A library's sentence with the command line's options for the functions' arguments."""
    options = sentence.replace("long_prompt='cut', or 'chunk'", "--long-prompt cut, or chunk")
    return options.replace("long_prompt='cut'", "--long-prompt cut")


def report() -> int:
    """Prints what the doctor finds as it finds it; 1 where something is wrong."""
    wrong = 0
    for finding in doctor.examine():
        print(finding, flush=True)
        wrong += bool(finding.fix)
    print(f"\n{wrong} problem{'s' * (wrong != 1)} found." if wrong else "\nAll is well.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
