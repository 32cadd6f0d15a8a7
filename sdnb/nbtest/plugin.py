"""pytest's hooks: with --nbtest-images, nbval compares pictures too.

pytest loads this wherever sdnb is installed, so everything heavy is imported where it is used.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sdnb.nbtest.outputs import Tolerance

MEAN, SSIM = 3.0, 0.9  # grey levels of 255; docs/nbtest.md says why
FOLDER = "nbtest-failures"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nbtest", "nbval that sees pictures")
    group.addoption(
        "--nbtest-images", action="store_true",
        help="with --nbval: compare the pictures in notebooks too",
    )  # fmt: skip
    group.addoption(
        "--nbtest-mean", type=float, metavar="LEVELS",
        help=f"most mean absolute difference of two pictures, 0 to 255 grey levels; {MEAN:g} "
        "unless given here, as nbtest_mean in the configuration, or in a cell's metadata",
    )  # fmt: skip
    group.addoption(
        "--nbtest-ssim", type=float, metavar="SSIM",
        help=f"least structural similarity, -1 to 1; {SSIM:g} unless given here, as nbtest_ssim "
        "in the configuration, or in a cell's metadata",
    )  # fmt: skip
    group.addoption(
        "--nbtest-folder", metavar="FOLDER", default=FOLDER,
        help="where differing pictures go: expected, actual and difference side by side; "
        f"{FOLDER} unless given",
    )  # fmt: skip
    group.addoption(
        "--nbtest-update", action="store_true",
        help="run the given notebooks, store their outputs, and then compare",
    )  # fmt: skip
    parser.addini("nbtest_mean", "default of --nbtest-mean", default=str(MEAN))
    parser.addini("nbtest_ssim", "default of --nbtest-ssim", default=str(SSIM))
    parser.addini(
        "nbtest_ignore", type="linelist",
        help="regular expressions, one a line: of what they match in texts, nothing is compared",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.nbtest_images or not config.pluginmanager.hasplugin("nbval"):
        return
    if missing := [name for name in ("skimage", "PIL") if find_spec(name) is None]:
        raise pytest.UsageError(
            f"--nbtest-images needs {' and '.join(missing)}: pip install 'sdnb[test]'"
        )
    tolerance(config)  # raises for a wrong number before anything runs
    ignored(config)


def tolerance(config: pytest.Config) -> Tolerance:
    """What pictures may differ by where their cell says nothing."""
    from sdnb.nbtest.outputs import Tolerance

    given = {}
    for name in Tolerance._fields:
        value = config.getoption(f"nbtest_{name}")
        try:
            given[name] = float(config.getini(f"nbtest_{name}") if value is None else value)
        except ValueError as error:
            raise pytest.UsageError(f"nbtest_{name} is not a number: {error}") from error
    try:
        return Tolerance(MEAN, SSIM).of({"nbtest": given})
    except ValueError as error:
        raise pytest.UsageError(f"nbtest's limits: {error}") from error


def ignored(config: pytest.Config) -> list[re.Pattern[str]]:
    """What is masked in stored and fresh texts alike before they are compared."""
    patterns = []
    for line in config.getini("nbtest_ignore"):
        try:
            patterns.append(re.compile(line))
        except re.error as error:
            raise pytest.UsageError(f"nbtest_ignore: {line} is no pattern: {error}") from error
    return patterns


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in filter(_is_ours, items):
        cell: Any = item
        # nbval's runtest finds its method on the instance first
        cell.compare_outputs = partial(compare, cell, cell.compare_outputs)


def _is_ours(item: pytest.Item) -> bool:
    nbval = sys.modules.get("nbval.plugin")
    return bool(item.config.option.nbtest_images and nbval and isinstance(item, nbval.IPyNbCell))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Iterator[None]:
    if not _is_ours(item):
        return (yield)
    from sdnb.nbtest.messages import Following, execute

    file, kernel = item.parent, item.parent.kernel
    file.get_kernel_message = Following(item, file.get_kernel_message)
    kernel.execute_cell_input = partial(execute, kernel)
    try:
        return (yield)
    finally:
        del file.get_kernel_message, kernel.execute_cell_input  # behind them are the classes' own


def compare(
    item: Any, texts_agree: Callable[..., bool], fresh: list[Any], stored: list[Any],
    *rest: Any, **more: Any,
) -> bool:  # fmt: skip
    """Takes the place of a cell's `compare_outputs`: its texts by nbval, its pictures here."""
    from sdnb.nbtest import notebooks, outputs

    places = notebooks.roots(item.path.parent, item.config.rootpath)
    scrub = partial(outputs.scrubbed, roots=places, ignored=ignored(item.config))
    texts = [outputs.with_texts(one, scrub, keep=False) for one in (fresh, stored)]
    agree = texts_agree(*texts, *rest, **more)
    try:
        limits = tolerance(item.config).of(item.cell.metadata)
    except ValueError as error:
        item.comparison_traceback.append(f"{item.colors.FAIL}{error}{item.colors.ENDC}")
        return False
    found = outputs.differences(stored, fresh, limits)
    item.user_properties.append(("nbtest", [len(outputs.pictures(stored)), len(found)]))
    item.comparison_traceback += [
        f"{item.colors.FAIL}{line}{item.colors.ENDC}" for line in _drawn(item, found)
    ]
    return agree and not found


def _drawn(item: Any, found: list[Any]) -> list[str]:
    """Writes what differs as pictures, and gives the sentences with their files."""
    from sdnb.nbtest.outputs import MOST

    folder = item.config.rootpath / item.config.option.nbtest_folder
    name = "-".join([*_relative(item.path, item.config.rootpath).with_suffix("").parts, item.name])
    name = name.replace(" ", "-").lower()
    for old in folder.glob("*.png"):
        if old.stem.rpartition("-")[0] == name:
            old.unlink()  # of an earlier run
    lines = []
    for number, difference in enumerate(found[:MOST], 1):
        lines.append(difference.sentence)
        if difference.sheet is not None:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{name}-{number}.png"
            difference.sheet.save(file)
            lines.append(f"  see {_relative(file, Path.cwd())}")
    if len(found) > MOST:
        lines.append(f"and {len(found) - MOST} pictures more.")
    return lines


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.option.nbtest_images:
        return
    reports = [r for rs in terminalreporter.stats.values() for r in rs if hasattr(r, "when")]
    counts = [
        value
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == "nbtest"
    ]
    if counts:
        compared, differ = map(sum, zip(*counts))
        end = f"; see {config.option.nbtest_folder}" if differ else ""
        terminalreporter.write_line(f"nbtest: {compared} pictures compared, {differ} differ{end}")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """--nbtest-update: makes the notebooks' outputs anew, then lets pytest compare them.

    By now pytest has read the project's configuration and its conftest.py, so that the notebooks
    run with the very environment of the tests.
    """
    if not config.option.nbtest_update:
        return None
    from sdnb.nbtest import notebooks

    if missing := notebooks.missing(update=True):
        raise pytest.UsageError(missing)
    from nbval.kernel import CURRENT_ENV_KERNEL_NAME

    option = config.option
    try:
        paths = notebooks.find(config.args)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    for path in paths:
        start = time.monotonic()
        try:
            text = notebooks.run(
                path,
                project=config.rootpath,
                kernel_name=CURRENT_ENV_KERNEL_NAME
                if option.nbval_current_env
                else option.nbval_kernel_name,
                timeout=option.nbval_cell_timeout,
                startup_timeout=option.nbval_kernel_startup_timeout,
            )
        except ValueError as error:
            print(f"{path} stays as it was: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"{path} stays as it was: stopped", file=sys.stderr)
            return 130
        notebooks.write(path, text)
        seconds = time.monotonic() - start
        print(f"{path}: {path.stat().st_size:,} bytes, {seconds:.0f} s", flush=True)
    config.args = list(map(str, paths))
    option.nbval = option.nbtest_images = True
    option.numprocesses, option.dist, option.tx = 0, "no", []  # xdist's processes know old options
    return None  # pytest goes on and compares
