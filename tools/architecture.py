"""What the code is made of: ``python -m tools.architecture``.

Prints files and lines per room, imports between rooms, circles of imports, the longest and the shortest files. Rooms
and their layers are read from the import contracts in ``pyproject.toml``. The code is parsed and never imported, so
another checkout can be counted too (``--root``). ``--picture`` draws the rooms, ``--page`` renews the table of imports
in a page; a test compares ``docs/pictures/architecture.svg`` and ``docs/architecture.md`` with the code.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from tools.architecture_picture import draw_rooms

__all__ = ["Code", "ImportEdge", "count", "draw", "find_circles", "read_code", "reduce_imports", "renew_table"]

ROOT = Path(__file__).resolve().parent.parent

_PACKAGE = "usassist"
_SHORT_FILE_LINES = 40
_LONGEST_FILES = 10
_TABLE_COLUMNS = 120
_TABLE_BEGIN = "<!-- imports between rooms, renewed by: python -m tools.architecture --page docs/architecture.md -->\n"
_TABLE_END = "<!-- end of imports between rooms -->\n"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImportEdge:
    """One module imports another, in however many statements.

    Attributes
    ----------
    importer, imported : dotted names
    typing_only : only for type checkers, below ``if TYPE_CHECKING``
    """

    importer: str
    imported: str
    typing_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The package as it lies on the disk.

    Attributes
    ----------
    files : dotted name of a module → its path below the checkout
    lines : dotted name of a module → lines of its file
    imports : between modules of the package, sorted
    layers : rooms of each layer, the highest first; a contract inside a room takes the place of that room
    """

    files: Mapping[str, str]
    lines: Mapping[str, int]
    imports: tuple[ImportEdge, ...]
    layers: tuple[tuple[str, ...], ...]

    @property
    def rooms(self) -> tuple[str, ...]:
        """Rooms with code in them: those of the contracts from the highest layer on, then the rest by name."""
        named = [room for layer in self.layers for room in layer]
        used = {self.room_of(module) for module in self.files}
        return (*(room for room in named if room in used), *sorted(used - set(named)))

    def room_of(self, module: str) -> str:
        """The room of a module: the longest one of the contracts that holds it, else its first folder or file."""
        parts = module.split(".")
        named = {room for layer in self.layers for room in layer}
        for length in range(len(parts), 0, -1):
            if (prefix := ".".join(parts[:length])) in named:
                return prefix
        return ".".join(parts[:2])

    def room_imports(self) -> dict[tuple[str, str], int]:
        """Pairs of modules in which one imports the other, per pair of rooms, without imports for type checkers."""
        pairs = {(edge.importer, edge.imported) for edge in self.imports if not edge.typing_only}
        return dict(Counter((self.room_of(importer), self.room_of(imported)) for importer, imported in sorted(pairs)))


def read_code(root: Path) -> Code:
    """Parse the package below ``root``.

    Raises
    ------
    FileNotFoundError
        If there is no ``pyproject.toml`` or no package.
    SyntaxError
        If a file cannot be parsed.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text())
    paths = sorted((root / _PACKAGE).rglob("*.py"))
    if not paths:
        raise FileNotFoundError(f"{root} holds no package {_PACKAGE}; name the root of a checkout with --root")
    files = {_module_name(path.relative_to(root)): path for path in paths}
    edges: set[ImportEdge] = set()
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for names, typing_only in _imported_names(ast.parse(path.read_text()), package, typing_only=False):
            for name in names:
                if (found := _module_of(name, files)) and found != module:
                    edges.add(ImportEdge(importer=module, imported=found, typing_only=typing_only))
    return Code(
        files={module: str(path.relative_to(root)) for module, path in files.items()},
        lines={module: len(path.read_text().splitlines()) for module, path in files.items()},
        imports=tuple(sorted(edges)),
        layers=_read_layers(project),
    )


def find_circles(code: Code, *, typing_too: bool = False) -> list[list[str]]:
    """Groups of modules that import one another in a circle, the largest first.

    Parameters
    ----------
    typing_too : follow imports for type checkers as well
    """
    follow: dict[str, set[str]] = {module: set() for module in code.files}
    for edge in code.imports:
        if typing_too or not edge.typing_only:
            follow[edge.importer].add(edge.imported)
    reach = {module: _reachable(module, follow) for module in follow}
    groups = {frozenset(other for other in reach[module] if module in reach[other]) for module in follow}
    return sorted((sorted(group) for group in groups if len(group) > 1), key=lambda group: (-len(group), group))


def reduce_imports(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that no chain of other pairs implies; pairs of a room with itself are left out.

    Where rooms import one another in a circle, all pairs of the circle are kept.
    """
    follow: dict[str, set[str]] = {}
    for importer, imported in pairs:
        if importer != imported:
            follow.setdefault(importer, set()).add(imported)
            follow.setdefault(imported, set())
    kept = set()
    for importer, targets in follow.items():
        for imported in targets:
            others = {other for other in targets if other != imported and importer not in _reachable(other, follow)}
            if not any(imported in _reachable(other, follow) for other in others):
                kept.add((importer, imported))
    return kept


def count(code: Code) -> dict[str, Any]:
    """All that the command prints, as one JSON-able document."""
    between = code.room_imports()
    rooms = {room: [module for module in code.files if code.room_of(module) == room] for room in code.rooms}
    by_length = sorted(code.files, key=lambda module: (-code.lines[module], module))
    packages = {module for module, path in code.files.items() if path.endswith("__init__.py")}
    circles = find_circles(code)
    return {
        "files": len(code.files),
        "lines": sum(code.lines.values()),
        "rooms": [
            {
                "room": room,
                "files": len(modules),
                "lines": sum(code.lines[module] for module in modules),
                "imports_inside": between.get((room, room), 0),
                "imports": {
                    other: between[room, other] for other in code.rooms if other != room and (room, other) in between
                },
            }
            for room, modules in rooms.items()
        ],
        "circles": circles,
        "circles_with_type_checking": [
            circle for circle in find_circles(code, typing_too=True) if circle not in circles
        ],
        "longest": [{"file": code.files[module], "lines": code.lines[module]} for module in by_length[:_LONGEST_FILES]],
        "short": [
            {"file": code.files[module], "lines": code.lines[module]}
            for module in reversed(by_length)
            if code.lines[module] < _SHORT_FILE_LINES and module not in packages
        ],
    }


def renew_table(page: str, code: Code) -> str:
    """A page with its table of imports between rooms renewed.

    Raises
    ------
    ValueError
        If the marks around the table are not in the page.
    """
    before, begin, rest = page.partition(_TABLE_BEGIN)
    _, end, after = rest.partition(_TABLE_END)
    if not begin or not end:
        raise ValueError(f"the page has no table of imports; put these two lines in it: {_TABLE_BEGIN}{_TABLE_END}")
    return before + begin + _imports_table(code) + end + after


def draw(code: Code) -> str:
    """The rooms of the contracts in their layers, with the imports that no others imply, as SVG."""
    layers = [[_short(room) for room in layer if room in code.rooms] for layer in code.layers]
    shown = {f"{_PACKAGE}.{room}" for layer in layers for room in layer}
    arrows = reduce_imports(pair for pair in code.room_imports() if set(pair) <= shown)
    return draw_rooms([layer for layer in layers if layer], {(_short(a), _short(b)) for a, b in arrows})


def _imports_table(code: Code) -> str:
    pairs = code.room_imports()
    rows = [
        f"| `{_short(room)}` | {', '.join(f'`{_short(other)}`' for other in others) or '–'} |"
        for room in code.rooms
        if any(room in layer for layer in code.layers)
        for others in [[other for other in code.rooms if (room, other) in pairs and other != room]]
    ]
    return "\n".join(["| room | imports |", "|---|---|", *rows]) + "\n"


def _short(room: str) -> str:
    return room.removeprefix(f"{_PACKAGE}.")


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module_of(name: str, files: Mapping[str, Path]) -> str | None:
    """The module that a dotted name leads to: itself, or the one that defines it; None outside the package."""
    while name:
        if name in files:
            return name
        name = name.rpartition(".")[0]
    return None


def _imported_names(tree: ast.AST, package: str, *, typing_only: bool) -> Iterator[tuple[list[str], bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield [alias.name for alias in node.names], typing_only
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            yield [f"{base}.{alias.name}" for alias in node.names], typing_only
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _imported_names(ast.Module(node.body, []), package, typing_only=True)
            yield from _imported_names(ast.Module(node.orelse, []), package, typing_only=typing_only)
        else:
            yield from _imported_names(node, package, typing_only=typing_only)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def _read_layers(project: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    contracts = [
        contract
        for contract in project.get("tool", {}).get("importlinter", {}).get("contracts", [])
        if contract["type"] == "layers"
    ]
    inside: dict[str, list[tuple[str, ...]]] = {}
    outer: list[tuple[str, ...]] = []
    for contract in contracts:
        layers = [tuple(part.strip() for part in layer.split("|")) for layer in contract["layers"]]
        containers = contract.get("containers", [])
        for container in containers:
            inside[container] = [tuple(f"{container}.{room}" for room in layer) for layer in layers]
        if not containers:
            outer.extend(layers)
    out: list[tuple[str, ...]] = []
    for layer in outer:
        if len(layer) == 1 and layer[0] in inside:
            out.extend(inside[layer[0]])
        else:
            out.append(layer)
    return tuple(out)


def _reachable(start: str, follow: Mapping[str, set[str]]) -> set[str]:
    seen = {start}
    ahead = [start]
    while ahead:
        for other in follow[ahead.pop()] - seen:
            seen.add(other)
            ahead.append(other)
    return seen


def _print(counted: Mapping[str, Any]) -> None:
    console = Console(width=_TABLE_COLUMNS, soft_wrap=False)
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{counted['files']} files, {counted['lines']} lines", title_justify="left"
    )
    for name in ("room", "files", "lines", "inside", "imports of other rooms"):
        table.add_column(name, justify="right" if name in ("files", "lines", "inside") else "left")
    for row in counted["rooms"]:
        others = ", ".join(f"{_short(room)} {number}" for room, number in row["imports"].items())
        table.add_row(
            _short(row["room"]), f"{row['files']}", f"{row['lines']}", f"{row['imports_inside']}", others or "–"
        )
    console.print(table)
    for title, circles in (
        ("circles of imports", counted["circles"]),
        ("circles with imports for type checkers", counted["circles_with_type_checking"]),
    ):
        console.print(f"{title}: {len(circles)}")
        for circle in circles:
            console.print(f"  {', '.join(circle)}")
    for title, files in (
        ("longest files", counted["longest"]),
        (f"files under {_SHORT_FILE_LINES} lines, without __init__: {len(counted['short'])}", counted["short"]),
    ):
        console.print(title)
        for file in files:
            console.print(f"  {file['lines']:4} {file['file']}")


def main(
    root: Annotated[Path, typer.Option(help="A checkout; this one unless given.")] = ROOT,
    picture: Annotated[Path | None, typer.Option(help="Draw the rooms into this SVG file instead of printing.")] = None,
    page: Annotated[Path | None, typer.Option(help="Renew the table of imports in this page instead.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Count files, lines and imports per room, or renew what the pages show of them."""
    code = read_code(root)
    if picture:
        picture.write_text(draw(code), encoding="utf-8")
    if page:
        page.write_text(renew_table(page.read_text(encoding="utf-8"), code), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(count(code), indent=2))
    elif not (picture or page):
        _print(count(code))


if __name__ == "__main__":
    typer.run(main)
