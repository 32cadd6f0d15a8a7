"""Notebooks: run and cleaned, and what is wrong with a stored one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdnb.files import replacing
from sdnb.nbtest.outputs import TIMINGS, URI, scrubbed, with_texts

MOST_BYTES = 1_000_000  # of a notebook with its outputs
MOST_LINES = 10  # of a cell
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
# what Jupyter, Colab, papermill and VS Code write about the run or the machine, not the notebook
OF_THE_RUN = {"execution", "ExecuteTime", "executionInfo", "outputId", "papermill", "vscode"}

TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|sk-[\w-]{20,}|AKIA[A-Z0-9]{16}|xox[abp]-[\w-]{10,})"
)
PATH = re.compile(
    r"(?<![\w/:.<~+-])/(?:home|Users|root|tmp|var|usr|opt|mnt|work|srv|private|content|kaggle)/[\w.]"
    r"|\b[A-Z]:\\+(?:Users|Windows|Program)"
)
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
# "1980s", "the 80s" and "the '80s" are no timings
DECADE = r"(?!(?:1\d|20)\d0s\b)(?!(?<=the )\d0s\b)(?!(?<=['’])\d0s\b)"
SECONDS = re.compile(
    rf"(?<![\w.]){DECADE}\d+(?:\.\d+)?\s?"
    r"(?:ns|µs|us|ms|s|secs?|seconds?|mins?|minutes?|it/s|s/it)\b(?!/)"
)
NOT_SHOWN = re.compile(r"<(style|script)\b.*?</\1>|<[^<>]*>", re.S | re.I)  # of HTML


def missing(*, update: bool) -> str:
    """A sentence where a package is not installed, else nothing.

    Arguments:
        update: whether notebooks are to be run, or only read.
    """
    needed = ["nbformat", *(["pytest", "nbval", "nbclient", "skimage"] if update else [])]
    absent = [name for name in needed if find_spec(name) is None]
    return f"{' and '.join(absent)} missing here: pip install 'sdnb[test]'" if absent else ""


def find(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The notebooks that paths name: themselves, and all below folders, sorted.

    Raises:
        ValueError: a path is neither a notebook nor a folder with some.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        below = sorted(
            one for one in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in one.parts
        ) if path.is_dir() else [path]  # fmt: skip
        if not below or not all(one.is_file() and one.suffix == ".ipynb" for one in below):
            raise ValueError(f"{path} is neither a notebook (.ipynb) nor a folder with notebooks.")
        found += below
    return found


def roots(folder: Path, project: Path) -> dict[str, str]:
    """The folders of this machine that may stand in outputs, and what is put in their place.

    Arguments:
        folder: the notebook's own, where its kernel runs.
        project: the folder of the tests' configuration.
    """
    places: list[tuple[str | Path, str]] = [
        (tempfile.gettempdir(), "<tmp>"),
        (Path.home(), "~"),
        (sys.base_prefix, "<python>"),
        (sys.prefix, "<python>"),
        (project, "<project>"),
        (folder, "."),
    ]
    known = {str(Path(place).resolve()): name for place, name in places}
    known |= {str(place): name for place, name in places}
    return {place: name for place, name in known.items() if place != "/"}


def run(
    path: Path,
    *,
    project: Path,
    kernel_name: str | None = None,
    timeout: float = 2000,
    startup_timeout: float = 60,
) -> str:
    """Runs a notebook in its own folder with a fresh kernel, and gives its cleaned text.

    nbval's marks count: a cell with NBVAL_SKIP is not run and keeps its outputs, and one with
    NBVAL_RAISES_EXCEPTION may fail. Nothing is written.

    Arguments:
        path: the notebook.
        project: the folder of the tests' configuration.
        kernel_name: a kernel's name; nbval's own name for this very Python; the notebook's own
            if left out.
        timeout: seconds for one cell.
        startup_timeout: seconds for the kernel.

    Returns:
        The notebook file's new text.

    Raises:
        ValueError: a cell failed, or the file is not a valid notebook; the sentence says which.
    """
    from jupyter_client.manager import KernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbval.kernel import NbvalKernelspecManager
    from nbval.plugin import find_comment_markers, find_metadata_tags

    nb = _read(path)
    own = nb.metadata.get("kernelspec", {}).get("name", "python3")
    manager = KernelManager(
        kernel_name=kernel_name or own, kernel_spec_manager=NbvalKernelspecManager()
    )
    client = NotebookClient(
        nb, km=manager, timeout=timeout, startup_timeout=startup_timeout,
        coalesce_streams=True, record_timing=False,
    )  # fmt: skip
    client.reset_execution_trackers()
    with _kernel(client, path):
        count = 0
        for index, cell in enumerate(nb.cells):
            if cell.cell_type != "code":
                continue
            marks = dict(find_metadata_tags(cell.metadata)) | dict(
                find_comment_markers(cell.source)
            )
            if marks.get("skip"):
                continue
            cell.outputs, cell.execution_count = [], None
            if not cell.source.strip():
                continue
            count += 1
            client.allow_errors = bool(marks.get("check_exception"))
            try:
                client.execute_cell(cell, index, execution_count=count)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise ValueError(f"cell {index + 1} of {path} fails: {error}") from error
        client.set_widgets_metadata()
    return cleaned(nb, roots(path.parent.resolve(), project))


@contextmanager
def _kernel(client: Any, path: Path) -> Iterator[None]:
    from jupyter_client.kernelspec import NoSuchKernel

    try:
        # what a kernel says on its own stderr is no output; nbval does not look at it either
        with client.setup_kernel(
            cleanup_kc=True, cwd=str(path.parent.resolve()), stderr=subprocess.DEVNULL
        ):
            yield
    except NoSuchKernel as error:
        raise ValueError(
            f"there is no kernel {error.name!r} here. --nbval-current-env takes this Python."
        ) from error


def cleaned(nb: Any, places: dict[str, str]) -> str:
    """A notebook as the text of its file, without what another run or machine would change.

    Taken out are: what OF_THE_RUN names in the metadata of the notebook and its cells; the
    version of the language and its like (kernelspec and the language's name stay); widgets
    without `state`. Replaced in outputs are paths under the given roots and timings, as
    `outputs.scrubbed` says; and the random ids of widgets, in the whole file.

    Arguments:
        nb: a notebook as nbformat reads it; it is changed.
        places: folders and what stands for them.
    """
    import nbformat

    meta = nb.metadata
    if "language_info" in meta:
        meta.language_info = nbformat.from_dict({"name": meta.language_info.get("name", "python")})
    for holder in (meta, *(cell.metadata for cell in nb.cells)):
        for key in OF_THE_RUN & set(holder):
            del holder[key]
    ids = list(_states(nb))
    if not ids:
        meta.pop("widgets", None)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = with_texts(cell.outputs, lambda t: scrubbed(t, places), keep=True)
    nbformat.validate(nb)
    text: str = nbformat.writes(nb)
    for number, old in enumerate(ids):
        text = text.replace(old, f"{number:032x}")
    text = nbformat.writes(nbformat.reads(text, as_version=4))  # sorted by the new ids
    return text.removesuffix("\n") + "\n"


def write(path: Path, text: str) -> None:
    """Writes a notebook's text, whole or not at all; not where it says the same already."""
    if not path.exists() or path.read_bytes() != text.encode():
        with replacing(path, ".ipynb") as part:
            part.write_bytes(text.encode())


def faults(path: Path) -> list[str]:
    """What should not be in a stored notebook, as sentences; empty where all is well.

    Arguments:
        path: the notebook.
    """
    try:
        nb = _read(path)
    except ValueError as error:
        return [str(error)]
    found = []
    if (size := path.stat().st_size) > MOST_BYTES:
        found.append(f"{size:,} bytes with its outputs, at most {MOST_BYTES:,}.")
    widgets, states = nb.metadata.get("widgets"), _states(nb)
    if widgets is not None and not states:
        found.append("metadata.widgets has no state, so GitHub calls the notebook invalid.")
    for number, cell in enumerate(nb.cells, 1):
        found += [f"Cell {number}: {fault}" for fault in _cell_faults(cell, states)]
    return found


def _cell_faults(cell: Any, states: dict[str, Any]) -> Iterator[str]:
    if match := TOKEN.search(cell.source):
        yield f"a token, {match[0][:6]}…, in the source. Revoke it."
    if cell.cell_type != "code":
        return
    lines = len(cell.source.splitlines())
    if lines > MOST_LINES:
        yield f"{lines} lines, at most {MOST_LINES}."
    if match := PATH.search(cell.source):
        yield f"an absolute path in the source: {_around(cell.source, match)}"
    if cell.source.strip() and cell.execution_count is None:
        yield "was never run, so its outputs are not compared."
    for number, output in enumerate(cell.outputs, 1):
        where = f"in output {number}"
        if output.output_type == "error":
            where += ", an error"
        for text in _texts(output):
            if match := TOKEN.search(text):
                yield f"a token, {match[0][:6]}…, {where}. Revoke it."
            seen = text
            for pattern, put in TIMINGS:
                seen = pattern.sub(put, seen)
            for what, pattern in (("an absolute path", PATH), ("a timing", SECONDS),
                                  ("an address in memory", ADDRESS)):  # fmt: skip
                if match := pattern.search(seen):
                    yield f"{what} {where}: {_around(seen, match)}"
        view = output.get("data", {}).get(VIEW)
        if view and view.get("model_id") not in states:
            yield f"a widget without state {where}."


def _texts(output: Any) -> Iterator[str]:
    """The texts of an output that a reader sees."""
    texts = [output.get("text"), output.get("evalue"), *output.get("traceback", [])]
    texts += output.get("data", {}).values()
    kinds = [None, None, *[None] * len(output.get("traceback", [])), *output.get("data", {})]
    for kind, text in zip(kinds, texts):
        if isinstance(text, str) and not (kind or "").startswith("image/"):
            text = URI.sub("", text)
            yield NOT_SHOWN.sub(" ", text) if kind == "text/html" else text


def _around(text: str, match: re.Match[str]) -> str:
    start = text.rfind("\n", 0, match.start()) + 1
    line = text[max(start, match.start() - 30) : match.end() + 40].split("\n")[0]
    return repr(line.strip())


def _states(nb: Any) -> dict[str, Any]:
    state: dict[str, Any] = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    return state


def _read(path: Path) -> Any:
    import nbformat

    try:
        raw = json.loads(path.read_text("utf-8"))
        if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list):
            raise ValueError("it has no list of cells")
        if (raw.get("nbformat"), raw.get("nbformat_minor")) < (4, 5):
            # ids came with 4.5; Colab and others write them into older ones, and Jupyter opens it
            cells = [cell for cell in raw["cells"] if isinstance(cell, dict)]
            for cell in cells:
                cell.pop("id", None)
        nbformat.validate(raw)  # read() itself only logs what is wrong
    except (nbformat.ValidationError, ValueError) as error:
        raise ValueError(f"{path} is no valid notebook: {str(error).splitlines()[0]}") from error
    return nbformat.reads(json.dumps(raw), as_version=4)
