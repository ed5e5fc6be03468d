"""PyAV is imported in one place, after OpenCV."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import usassist

ROOT = Path(usassist.__file__).parent
# screen_program.py must not have cv2 in its process: x11grab crashes beside it
OWN_IMPORT = {"common/pyav.py", "sources/inputs/screen_program.py"}


def imported_at_runtime(node: ast.AST) -> Iterator[str]:
    """Names of the modules that a piece of code imports, without those for type checking alone."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                for other in orelse:
                    yield from imported_at_runtime(other)
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case _:
                yield from imported_at_runtime(child)


def imports_av(path: Path) -> bool:
    modules = imported_at_runtime(ast.parse(path.read_text(encoding="utf-8")))
    return any(module.partition(".")[0] == "av" for module in modules)


def test_av_is_imported_through_one_module() -> None:
    paths = sorted(ROOT.rglob("*.py"))
    assert len(paths) > 200
    assert {path.relative_to(ROOT).as_posix() for path in paths if imports_av(path)} == OWN_IMPORT


@pytest.mark.parametrize(
    "code", ["import av", "def f():\n    from av.error import X", "try:\n    import av.filter\nfinally: 0"]
)
def test_import_of_av_is_found_wherever_it_stands(tmp_path: Path, code: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(code)
    assert imports_av(path)


def test_import_for_type_checking_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("if TYPE_CHECKING:\n    import av\nimport avahi\n")
    assert not imports_av(path)


@pytest.mark.parametrize("module", ["common.pyav", "phantom.clip", "session.writing", "sinks.video", "sources.clip"])
def test_cv2_is_imported_before_av(module: str) -> None:
    code = f"import sys, usassist.{module}; names = list(sys.modules); print(names.index('cv2') < names.index('av'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
