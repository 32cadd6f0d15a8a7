"""Runs the steps of a workflow's jobs here, one by one: the file itself is what is tried.

    python .ci/steps.py .github/workflows/gpu.yml [--job embedded] [--list]

In a copy of the tree, with the job's and the step's `env`. What a runner alone has is left out:
`uses:`, and values with `${{ }}` but for their defaults after `||`. Stops at the first step that
fails; says how many seconds each took.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def plain(value: object) -> str | None:
    """A value of `env`; None where only a runner knows it."""
    text = str(value)
    default = re.fullmatch(r"\$\{\{.*\|\| *'([^']*)' *\}\}", text)
    if default:
        return default[1]
    return None if "${{" in text else text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workflow", type=Path)
    parser.add_argument("--job", help="only that one")
    parser.add_argument("--list", action="store_true", help="shows the steps, runs none")
    args = parser.parse_args()
    jobs = yaml.safe_load(args.workflow.read_text())["jobs"]
    if args.job and args.job not in jobs:
        sys.exit(f"There is no job {args.job!r}: give one of {', '.join(jobs)}.")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        left_out = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__")
        shutil.copytree(ROOT, tree, ignore=left_out)
        for name, job in jobs.items():
            if args.job not in (None, name):
                continue
            for step in job["steps"]:
                if "run" not in step:
                    continue
                print(f"{name}: {step['run'].strip()}", flush=True)
                if args.list:
                    continue
                given = job.get("env", {}) | step.get("env", {})
                known = {k: text for k, v in given.items() if (text := plain(v)) is not None}
                started = time.monotonic()
                # as a runner calls it: https://docs.github.com/actions/reference/workflow-syntax
                command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
                code = subprocess.run(command, cwd=tree, env=os.environ | known).returncode
                print(f"{name}: {time.monotonic() - started:.0f} s, exit {code}", flush=True)
                if code:
                    sys.exit(code)


if __name__ == "__main__":
    main()
