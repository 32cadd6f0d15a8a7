"""How many small faults in sdnb/ the tests notice: a mutation run.

    pip install cosmic-ray pytest-cov
    pytest -n0 --dist no --cov=sdnb --cov-context=test --cov-report= --junitxml=build/times.xml
    python benchmarks/mutants.py --count 300 --seed 1
    python benchmarks/mutants.py --count 50 sdnb/settings.py sdnb/records/a1111.py

Draws faults that cosmic-ray's operators can make (https://cosmic-ray.readthedocs.io): a comparison
turned round, a number one larger, `and` for `or`, a decorator gone. Each is written into a copy of
the tree and meets the tests that ran its line, the quickest first, at most --seconds of them by
their times. cosmic-ray's own runner would start pytest, and with it 10 s of imports, for each; here
each is a fork of a process that has torch, diffusers and transformers. Prints every fault as it
is tried, and at the end the share that was noticed. A fault in a line that no test runs survives.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]


def statements(source: str) -> set[int]:
    """The lines of code that can be wrong: no docstrings, no annotations, no imports."""
    tree, lines = ast.parse(source), set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.stmt)
            and not isinstance(
                node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.AnnAssign
            )
            and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ):
            lines.add(node.lineno)
    return lines


def drawn(files: list[Path], count: int, seed: int) -> list[dict]:
    """Faults drawn evenly over the lines of code; one a line."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    operators = {}
    for name in operator_names():
        kind = get_operator(name)
        if not kind.arguments() and not name.endswith("NoOp"):
            operators[name] = kind()
    places = defaultdict(list)  # (file, line) -> [(operator, occurrence)]
    for path in files:
        source = path.read_text()
        lines, nodes = statements(source), list(ast_nodes(get_ast(source)))
        for name, operator in operators.items():
            found = (p for node in nodes for p in operator.mutation_positions(node))
            for occurrence, ((line, _), _) in enumerate(found):
                if line in lines:
                    places[str(path.relative_to(ROOT)), line].append((name, occurrence))
    dice = random.Random(seed)
    faults = []
    for path, line in dice.sample(sorted(places), min(count, len(places))):
        name, occurrence = dice.choice(places[path, line])
        code = mutate_code((ROOT / path).read_text(), operators[name], occurrence)
        faults.append({"path": path, "line": line, "operator": name, "code": code})
    return faults


def tests_of(times: Path) -> dict[tuple[str, int], list[tuple[float, str]]]:
    """(file, line) -> (seconds, test) of each test that ran it, the quickest first."""
    from coverage import CoverageData

    seconds = {}
    for case in ElementTree.parse(times).iter("testcase"):
        place, name = (case.get("classname") or "").replace(".", "/"), case.get("name")
        seconds[f"{place}.py::{name}"] = float(case.get("time") or 0)
    data = CoverageData(str(ROOT / ".coverage"))
    data.read()
    found = defaultdict(set)
    for file in data.measured_files():
        for line, contexts in data.contexts_by_lineno(file).items():
            for context in contexts:
                test = context.partition("|")[0]
                if test.startswith(("tests/", "sdnb/")):
                    place = str(Path(file).relative_to(ROOT))
                    found[place, line].add((seconds.get(test, 1.0), test))
    return {place: sorted(tests) for place, tests in found.items()}


def noticed(tree: Path, tests: list[str], limit: float) -> bool:
    """Whether one of the tests fails, or hangs, in a fork of this process."""
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(tree)
        out = os.open(tree / "out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.path.insert(0, str(tree))
        import pytest

        quiet = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-p", "no:nbval", "--doctest-modules"]
        code = 1
        try:
            code = int(pytest.main([*quiet, "-o", "addopts=", *tests]))
        finally:
            os._exit(code)
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.05)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True
    return not re.search(r"^\d+ passed", (tree / "out.txt").read_text(), re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="all of sdnb/ unless given")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="of tests for a fault at most")
    parser.add_argument("--times", type=Path, default=ROOT / "build/times.xml")
    parser.add_argument("--faults", type=Path, help="drawn before: a file; written where it lacks")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    if args.faults and args.faults.exists():
        faults = json.loads(args.faults.read_text())
    else:
        files = [path.resolve() for path in args.files] or sorted((ROOT / "sdnb").rglob("*.py"))
        faults = drawn(files, args.count, args.seed)
        if args.faults:
            args.faults.write_text(json.dumps(faults))
    running = tests_of(args.times)

    import diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion  # noqa: F401
    import transformers.models.clip.modeling_clip  # noqa: F401

    killed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "build", ".venv"))
        for number, fault in enumerate(faults, 1):
            chosen, total = [], 0.0
            for seconds, test in running.get((fault["path"], fault["line"]), []):
                total += seconds
                if chosen and total > args.seconds:
                    break
                chosen.append(test)
            path = tree / fault["path"]
            kept = path.read_text()
            path.write_text(fault["code"])
            dead = bool(chosen) and noticed(tree, chosen, 60 + 4 * args.seconds)
            path.write_text(kept)
            killed += dead
            old, new = (text.splitlines()[fault["line"] - 1] for text in (kept, fault["code"]))
            verdict = "noticed " if dead else "SURVIVED" if chosen else "NOT RUN "
            print(f"{verdict} {fault['path']}:{fault['line']} {len(chosen)} tests", flush=True)
            if not dead:
                print(f"    - {old.strip()}\n    + {new.strip()}", flush=True)
            if number % 25 == 0:
                print(f"{killed} of {number} noticed", flush=True)
    print(f"{killed} of {len(faults)} noticed ({100 * killed / len(faults):.0f} %)")


if __name__ == "__main__":
    main()
