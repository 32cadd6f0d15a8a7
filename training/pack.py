"""What was made, in pieces small enough to be carried, and put together again.

python -m training pack --out somewhere      # pieces of 15 MB: the exported folder, judge, logs
python -m training pack --open somewhere     # joins them into SDNB_TRAINING's folder
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import torch

from training import export, run
from training.run import WORK

PIECE = 15_000_000  # bytes


def main(out: str = "", open: str = "", name: str = "denoiser") -> None:
    """Packs, or opens, the folder."""
    if open:
        _open(Path(open))
        return
    folder = WORK / "exported"
    if run.Run(name).checkpoint.exists():
        export.main(name, str(folder))
    if state := run.Run("judge").load():
        small = {k: v.half() if v.is_floating_point() else v for k, v in state["model"].items()}
        average = [v.half() for v in state["average"]]
        torch.save(
            {"model": small, "average": average, "step": state["step"]}, WORK / "judge-half.pt"
        )
    Path(out).mkdir(parents=True, exist_ok=True)
    whole = WORK / "packed.tar"
    with tarfile.open(whole, "w") as tar:
        for path in [folder, WORK / "judge-half.pt", *WORK.glob("*.jsonl"), *WORK.glob("*.json")]:
            if path.exists():
                tar.add(path, path.relative_to(WORK))
    content = whole.read_bytes()
    for i in range(0, len(content), PIECE):
        Path(out, f"packed.{i // PIECE:02}").write_bytes(content[i : i + PIECE])
    print(f"{len(content) / 1e6:.1f} MB in {-(-len(content) // PIECE)} pieces", flush=True)


def _open(folder: Path) -> None:
    """Joins the pieces; `python -m training adopt --folder …/exported` goes on from there."""
    WORK.mkdir(parents=True, exist_ok=True)
    whole = WORK / "packed.tar"
    whole.write_bytes(b"".join(piece.read_bytes() for piece in sorted(folder.glob("packed.*"))))
    with tarfile.open(whole) as tar:
        tar.extractall(WORK, filter="data")
    half = WORK / "judge-half.pt"
    if half.exists():
        state = torch.load(half)
        state["model"] = {
            k: v.float() if v.is_floating_point() else v for k, v in state["model"].items()
        }
        state["average"] = [v.float() for v in state["average"]]
        run.Run("judge").save(state)
