"""Short runs of equal minutes on a small world, and what each lever brings.

    python -m training levers --minutes 10        # nine runs; levers.json beside the checkpoints

Each run differs in one thing from the first. They are scored by how they behave and by the judge;
the autoencoder, the text encoder and the judge are those of the whole world.
"""

from __future__ import annotations

import json
from dataclasses import replace

from training import behaviour, denoiser, sheet
from training.run import WORK

BASE = denoiser.Levers()
RUNS = {
    "base": BASE,
    "epsilon": replace(BASE, prediction="epsilon"),
    "pooled": replace(BASE, pooled=True),
    "min-snr": replace(BASE, weighting="min-snr"),
    "middle timesteps": replace(BASE, sampling="middle"),
    "no head": replace(BASE, head=0.0),
    "strong head": replace(BASE, head=0.5),
    "two levels": replace(BASE, levels="160,256"),
    "wide": replace(BASE, levels="160,224,256"),
}


def main(
    minutes: float = 10, batch: int = 256, scenes: int = 20_000, objects: int = 20, places: int = 9,
    prompts: int = 16, only: str = "",
) -> None:  # fmt: skip
    """Runs each (or those in `only`, with commas between), and prints one table."""
    chosen = {k: v for k, v in RUNS.items() if not only or k in only.split(",")}
    table = {}
    for title, levers in chosen.items():
        name = "lever-" + title.replace(" ", "-")
        print(f"# {title}", flush=True)
        denoiser.train(
            minutes=minutes, batch=batch, scenes=scenes, objects=objects, places=places, name=name,
            **vars(levers),
        )  # fmt: skip
        table[title] = behaviour.table(sheet.open_pipeline(name), prompts, judged=True)
    (WORK / "levers.json").write_text(json.dumps(table, indent=1) + "\n")
    rows = list(next(iter(table.values())))
    for row in rows:
        cells = ["  ".join(f"{v:.3g}" for v in each[row].values()) for each in table.values()]
        print(f"{row:34}", "  |  ".join(cells), flush=True)
