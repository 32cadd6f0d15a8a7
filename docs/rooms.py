"""The map of the package: its rooms and modules, in the words of their docstrings."""

import ast
import configparser
from pathlib import Path

from stamp import ROOT

PACKAGE = ROOT / "sdnb"


def floors() -> list[list[str]]:
    """The names of import-linter's contract in setup.cfg, from the top down, floor by floor."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    lines = config["importlinter:contract:rooms"]["layers"].split("\n")
    return [sorted(line.replace("|", " ").split()) for line in lines if line]


def page() -> str:
    """The map as Markdown: one table of the floors, one of the shared modules, one a room."""
    rooms = [name for floor in floors() for name in floor if (PACKAGE / name).is_dir()]
    modules = [name for floor in floors() for name in floor if name not in rooms]
    parts = ["| | from the top down |\n|---|---|\n"]
    parts += [f"| {n} | {' · '.join(map(_linked, names))} |\n" for n, names in _numbered()]
    parts += ["\n## sdnb itself\n\n", _table([PACKAGE / f"{name}.py" for name in modules])]
    for room in rooms:
        folder = PACKAGE / room
        parts += [f"\n({room}-room)=\n\n## {room}\n\n", _docstring(folder / "__init__.py"), "\n\n"]
        parts += [_table(sorted(set(folder.glob("*.py")) - {folder / "__init__.py"}))]
    return "".join(parts)


def _numbered() -> list[tuple[int, list[str]]]:
    return list(zip(range(len(floors()), 0, -1), floors()))


def _linked(name: str) -> str:
    return f"[`{name}/`](#{name}-room)" if (PACKAGE / name).is_dir() else f"`{name}`"


def _table(files: list[Path]) -> str:
    if not files:
        return ""
    rows = [
        f"| [`{file.stem}`](/{file.relative_to(ROOT).as_posix()}) | {_summary(file)} |"
        f" {len(file.read_text('utf-8').splitlines())} |\n"
        for file in files
    ]
    return "| module | | lines |\n|---|---|---|\n" + "".join(rows)


def _summary(file: Path) -> str:
    """The docstring's first paragraph, as one line of a table."""
    return " ".join(_docstring(file).split("\n\n")[0].split()).replace("|", "\\|")


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
