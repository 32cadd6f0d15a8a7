"""The package as a whole: what it exports, what importing it loads, who imports whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sdnb

ROOT = Path(sdnb.__file__).parent
HEAVY = {"torch", "diffusers", "transformers", "matplotlib", "ipywidgets", "numpy", "PIL"}
PUBLIC = {
    "Sample", "Settings", "Sheet", "Store", "clear", "compare", "counting", "evolution",
    "generate", "image_grid", "load", "metadata", "notebook_login", "panel", "plan", "plots",
    "prompts", "read", "schedulers", "variations",
}  # fmt: skip
BELOW = {
    "settings": set(),
    "grid": set(),
    "emoji": set(),
    "notices": set(),
    "pictures": {"metadata"},
    "device": set(),
    "account": set(),
    "failures": {"account"},
    "facts": {"schedulers"},
    "files": set(),
    "merging": set(),
    "runs": {"merging"},
    "turns": set(),
    "slider": {"files", "settings"},
    "animation": {"files", "grid"},
    "plots": {"counting", "settings"},
    "schedulers": {"settings"},
    "axes": {"schedulers", "settings"},
    "tokens": {"settings"},
    "decoding": {"notices"},
    "previews": {"decoding", "schedulers"},
    "code": {"emoji", "facts", "schedulers", "settings"},
    "metadata": {"facts", "files", "schedulers", "settings"},
    "sample": {"animation", "code", "grid", "metadata", "plots", "settings", "slider"},
    "store": {"metadata", "notices", "sample", "settings"},
    "hub": {"failures", "notices", "transfer"},
    "transfer": set(),
    "weights": {"device"},
    "projections": set(),
    "room": {"device", "hub"},
    "openvino": {"decoding", "merging", "notices", "weights"},
    "pipelines": {"emoji", "schedulers", "weights"},
    "views": {"notices", "pipelines"},
    "pretrained": {
        "code", "emoji", "failures", "hub", "notices", "openvino", "pipelines", "projections",
        "room", "weights",
    },
    "loading": {"device", "emoji", "hub", "notices", "pipelines", "pretrained"},
    "login": {"account", "emoji", "failures", "loading", "notices"},
    "generation": {
        "decoding", "emoji", "notices", "pictures", "pipelines", "previews", "sample",
        "schedulers", "settings", "tokens", "views",
    },
    "batching": {
        "device", "generation", "merging", "pipelines", "runs", "sample", "settings",
    },
    "live": {"login"},
    "worker": {
        "batching", "generation", "loading", "notices", "pictures", "pipelines", "sample",
        "schedulers", "settings", "store",
    },
    "cluster": {
        "device", "generation", "notices", "pictures", "pipelines", "sample", "settings", "store",
        "worker",
    },
    "plans": {
        "axes", "batching", "cluster", "generation", "live", "loading", "notices", "pictures",
        "sample", "settings", "store", "turns",
    },
    "sweep": {
        "axes", "cluster", "generation", "loading", "metadata", "notices", "pictures", "plans",
        "previews", "sample", "settings", "store", "turns",
    },
    "board": {
        "axes", "emoji", "files", "generation", "grid", "loading", "login", "metadata", "notices",
        "pictures", "pipelines", "plans", "previews", "sample", "schedulers", "settings",
        "slider", "sweep", "tokens", "turns", "views",
    },
    "nbtest": {"files", "grid"},
    "prompts": {"emoji", "loading", "pipelines"},
    "counting": set(),
    "doctor": {"account", "device", "emoji", "failures", "loading"},
    "__main__": {"axes", "doctor", "files", "loading", "metadata", "sweep"},
    "__init__": set(),
}  # fmt: skip


def imported_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in out.stdout.split()}


def test_importing_sdnb_imports_nothing_heavy():
    assert not imported_by("import sdnb") & HEAVY


def test_the_plugin_that_every_pytest_loads_imports_nothing_heavy():
    seen = imported_by("import sdnb.nbtest.plugin")
    assert not seen & (HEAVY | {"nbclient", "nbformat", "nbval", "scipy", "skimage"})


def test_the_check_for_heavy_imports_can_fail():
    assert {"PIL", "numpy"} <= imported_by("import sdnb, numpy; sdnb.image_grid")


def test_everything_public_is_there_and_nothing_else():
    assert set(sdnb.__all__) == PUBLIC
    assert all(getattr(sdnb, name) for name in PUBLIC)


def test_functions_stay_functions_after_their_modules_are_imported():
    code = "import sdnb, sdnb.sweep, sdnb.generation as g\n"
    code += "print(callable(sdnb.generate), callable(sdnb.compare))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["True", "True"]


def uses(source: str) -> set[str]:
    """The sdnb modules that a module's source imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = "sdnb" if node.level else ""
            base = ".".join(filter(None, [start, node.module]))
            found += [f"sdnb.{a.name}" for a in node.names] if base == "sdnb" else [base]
    return {name.split(".")[1] for name in found if name.startswith("sdnb.")}


MODULES = [*sorted(ROOT.glob("*.py")), *sorted(ROOT.glob("[!_]*/*.py"))]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_arrows_point_one_way(module):
    name = module.stem if module.parent == ROOT else module.parent.name
    assert uses(module.read_text()) - {name} <= BELOW[name]


def test_the_check_of_the_arrows_sees_every_kind_of_import():
    for line in ("import sdnb.hub", "from sdnb import hub", "from sdnb.hub import load",
                 "from . import hub", "from .hub import load"):  # fmt: skip
        assert uses(line) == {"hub"}, line


def test_no_except_swallows_everything():
    """Where everything is caught it is raised again, or at least handed on."""
    for module in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                inside = [n for part in node.body for n in ast.walk(part)]
                again = any(isinstance(n, ast.Raise) for n in inside)
                used = any(isinstance(n, ast.Name) and n.id == node.name for n in inside)
                wide = caught in ("everything", "Exception", "BaseException")
                assert again or used or not wide, module
