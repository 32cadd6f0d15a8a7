"""How much the notebooks' pictures differ from the stored ones on other kinds of CPU, imitated.

    python benchmarks/cpus.py                           all notebooks under all settings
    python benchmarks/cpus.py notebooks/03_compare.ipynb --only "one thread"

CPUs round differently because torch and oneDNN choose other kernels on them. Both can be told to
choose those of a lesser CPU (https://docs.pytorch.org/docs/stable/backends.html#torch.backends.cpu.get_cpu_capability,
https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html), so that one machine
shows the digits of several; a greater one than this machine's cannot be imitated.

Prints, as each notebook ends, the largest difference of its pictures from the stored ones under
each setting, as nbtest measures it (the worst 64 x 64 pixels), and at the end each picture that
would fail, or comes within a third of its limits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "as it is": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "torch without vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "torch with AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "torch with AVX-512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "oneDNN with SSE 4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN with AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN with AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "oneDNN with AMX": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"},
    "bfloat16 allowed": {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"},
    "in bfloat16": {"SDNB_DTYPE": "bfloat16"},
    "in float16": {"SDNB_DTYPE": "float16"},
}
NEAR = 1 / 3  # of a limit: a picture this close to it is listed


def compared(path: Path) -> list[dict[str, object]]:
    """Runs a notebook here and now; one entry a picture with its difference and its limits."""
    import io
    from base64 import b64decode

    import nbformat
    from PIL import Image

    from sdnb.nbtest import notebooks, outputs
    from sdnb.nbtest.likeness import likeness

    stored = nbformat.read(path, 4)
    fresh = nbformat.reads(notebooks.run(path, project=ROOT), 4)
    found = []
    limit = outputs.Tolerance(1, 0.98)  # setup.cfg's
    for number, (old, new) in enumerate(zip(stored.cells, fresh.cells)):
        tolerance = limit.of(old.metadata)
        both = (outputs.pictures(cell.get("outputs", [])) for cell in (old, new))
        for place, (a, b) in enumerate(zip(*both), 1):
            kind = next(k for k in outputs.TYPES if k in a.forms and k in b.forms)
            one, other = (Image.open(io.BytesIO(b64decode(p.forms[kind]))) for p in (a, b))
            alike = likeness(one, other)
            found.append({
                "cell": number, "picture": place, "mean": round(alike.mean, 3),
                "ssim": round(alike.ssim, 4), "limits": tolerance,
            })  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--only", action="append", choices=SETTINGS, help="one of the settings")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="where all numbers go too")
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(compared(args.notebooks[0])), file=sys.__stdout__)
        return
    files = args.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    names = args.only or list(SETTINGS)
    close, every = [], {}
    quiet = {
        "TQDM_DISABLE": "1", "SDNB_TIMES": "off", "SDNB_STORE": "off", "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    print(f"{'notebook':24} {'setting':24} {'pictures':>8} {'mean':>7} {'SSIM':>7} {'s':>5}")
    for file in files:
        for name in names:
            started = time.perf_counter()
            with tempfile.TemporaryFile("w+") as told:
                done = subprocess.run(
                    [sys.executable, __file__, "--worker", str(file.resolve())], cwd=ROOT,
                    env=os.environ | quiet | SETTINGS[name], stdout=subprocess.PIPE, stderr=told,
                    text=True,
                )  # fmt: skip
                told.seek(0)
                if done.returncode:
                    sys.exit(f"{file.name}, {name}: {told.read()[-2000:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            every[f"{file.name}, {name}"] = found
            mean = max((each["mean"] for each in found), default=0)
            ssim = min((each["ssim"] for each in found), default=1)
            took = time.perf_counter() - started
            print(
                f"{file.stem:24} {name:24} {len(found):8} {mean:7.3f} {ssim:7.4f} {took:5.0f}",
                flush=True,
            )
            for each in found:
                most, least = each["limits"]
                if each["mean"] > NEAR * most or 1 - each["ssim"] > NEAR * (1 - least):
                    close.append((file.stem, name, each))
            if args.json:
                args.json.write_text(json.dumps(every, indent=1))
    for stem, name, each in close:
        most, least = each["limits"]
        print(
            f"{stem}, cell {each['cell']}, picture {each['picture']}, {name}: mean {each['mean']} "
            f"(at most {most:g}), SSIM {each['ssim']} (at least {least:g})"
        )


if __name__ == "__main__":
    main()
