"""Writes the table of the notebooks' seconds and bytes: python docs/times.py

It runs each with pytest, pictures compared, on an otherwise idle machine if the numbers are to
mean anything.
"""

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "nbtest.md"
START, END = "<!-- times, written by docs/times.py -->\n", "<!-- end -->\n"


def machine():
    """The processor's name, and how many cores and threads of torch there are."""
    about = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", about.read_text(), re.M) if about.exists() else []
    cores = os.cpu_count()
    threads = int(os.environ.get("OMP_NUM_THREADS", cores))
    name = names[0] if names else platform.processor()
    return f"{name}, {cores} cores, {threads} thread{'s' * (threads != 1)}"


def timed(path):
    """Seconds of pytest over one notebook, start and end included.

    Raises:
        subprocess.CalledProcessError: it is not green.
    """
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "pytest", "-n0", path], cwd=ROOT, check=True)
    return time.monotonic() - start


def table(note=""):
    """The table as Markdown."""
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    rows = [f"| `{p.stem}` | {timed(p):.0f} | {p.stat().st_size:,} |\n" for p in paths]
    head = f"{machine()}{note and ', '}{note}:\n\n| notebook | seconds | bytes |\n|---|---|---|\n"
    return head + "".join(rows)


def written(text, body):
    """The page with the table between its marks."""
    before, rest = text.split(START)
    return f"{before}{START}\n{body}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    body = table(" ".join(sys.argv[1:]))
    PAGE.write_text(written(PAGE.read_text("utf-8"), body), "utf-8")
