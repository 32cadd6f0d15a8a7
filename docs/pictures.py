"""Makes the README's picture: python docs/pictures.py"""

from pathlib import Path

import sdnb

sheet = sdnb.compare(
    "an astronaut riding a horse", steps=[12, 24, 38, 50], seed=510, pipe=sdnb.load("emoji")
)
sheet.grid().save(Path(__file__).parent / "steps.png")
