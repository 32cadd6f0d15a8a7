"""What was made, in pieces small enough to be carried, and put together again.

python -m training pack --out somewhere      # pieces of 15 MB: the exported folder, logs
python -m training pack --open somewhere     # joins them into SDNB_TRAINING's folder
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import torch

from training import export, run
from training.judge import Judge, load
from training.run import WORK

PIECE = 15_000_000  # bytes
HALF = WORK / "judge-half.pt"


def main(out: str = "", open: str = "", name: str = "denoiser", judge: bool = False) -> None:
    """Packs, or opens, the folder; the judge goes along where asked (7 MB)."""
    if open:
        _open(Path(open))
        return
    folder = WORK / "exported"
    if run.Run(name).checkpoint.exists():
        export.main(name, str(folder))
    HALF.unlink(missing_ok=True)
    if judge:
        state = load().state_dict()
        torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, HALF)
    Path(out).mkdir(parents=True, exist_ok=True)
    whole = WORK / "packed.tar"
    with tarfile.open(whole, "w") as tar:
        for path in [folder, HALF, *WORK.glob("*.jsonl"), *WORK.glob("*.json")]:
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
    if HALF.exists():
        eye = Judge()
        eye.load_state_dict(torch.load(HALF))
        run.Run("judge").save({"model": eye.state_dict(), "average": list(eye.parameters())})
