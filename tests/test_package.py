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
    "Attention", "Duel", "Enough", "Plan", "Ray", "Sample", "Settings", "Sheet", "Slider",
    "Store", "Vote", "WordEffect", "WordEffects", "attention", "clear", "cluster", "compare",
    "counting", "duel", "enough", "evolution", "generate", "image_grid", "load", "metadata",
    "notebook_login", "panel", "path", "plan", "plots", "prompts", "read", "schedulers",
    "scores", "variations", "vote", "words",
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


def test_making_a_picture_imports_nothing_that_only_plots_need():
    """A fifth of the time to the first picture was once matplotlib's and SciPy's."""
    assert not imported_by("import sdnb.api") & {"matplotlib", "scipy", "pandas", "ipywidgets"}


def test_the_check_for_heavy_imports_can_fail():
    assert {"PIL", "numpy"} <= imported_by("import sdnb, numpy; sdnb.image_grid")


def test_everything_public_is_there_and_nothing_else():
    assert set(sdnb.__all__) == PUBLIC
    assert all(getattr(sdnb, name) for name in PUBLIC)


def test_functions_stay_functions_after_their_modules_are_imported():
    code = "import sdnb, sdnb.api, sdnb.generation.sampling as g\n"
    code += "print(callable(sdnb.generate), callable(sdnb.compare))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["True", "True"]


def test_pipelines_signatures_are_asked_for_in_one_place():
    asked = {}
    for module in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("signature"):
                of = ast.unparse(node.args[0])
                if of.endswith(("__call__", "__init__")):
                    asked.setdefault(module.relative_to(ROOT).as_posix(), []).append(of)
    assert set(asked) == {"pipeline_class.py"}, asked


def test_no_module_is_longer_than_400_lines():
    files = Path(sdnb.__file__).parent.rglob("*.py")
    lines = {str(file): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: n for name, n in lines.items() if n > 400} == {}


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


@pytest.mark.parametrize(
    ("module", "planted", "said"),
    [
        ("records/sample", "pass", "2 kept, 0 broken"),
        ("records/sample", "from sdnb.widgets import style", "downward BROKEN"),
        ("records/sample", "from sdnb.records import sheet", "circle BROKEN"),
    ],
)
def test_arrows_point_downward_and_in_no_circle_and_the_check_can_fail(
    tmp_path, module, planted, said
):
    """`lint-imports` of CI, on a copy: as it is, and with one more import in a function."""
    for source in ROOT.rglob("*.py"):
        (copy := tmp_path / "sdnb" / source.relative_to(ROOT)).parent.mkdir(exist_ok=True)
        copy.write_text(source.read_text())
    (tmp_path / "setup.cfg").write_text((ROOT.parent / "setup.cfg").read_text())
    with open(tmp_path / "sdnb" / f"{module}.py", "a") as file:
        file.write(f"\n\ndef _planted():\n    {planted}\n")
    code = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert said in done.stdout, done.stdout + done.stderr
    assert done.returncode == ("BROKEN" in said)
