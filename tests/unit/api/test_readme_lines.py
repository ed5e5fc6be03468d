"""The Python examples of the documentation run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_MARKER = "<!-- python-example -->"
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
_HEADINGS = (
    "An array",
    "A folder of images",
    "A clip",
    "A recorded session",
    "Volume and growth",
    "Compared with masks",
    "The rest of the package",
)


def _run(code: str, folder: Path) -> str:
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=90)
    assert run.returncode == 0, run.stderr
    return run.stdout


def _example(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    block = _BLOCK.search(text, text.index(_MARKER))
    assert block is not None
    return block[1]


def _section(page: Path, heading: str) -> str:
    sections = page.read_text(encoding="utf-8").split("\n## ")
    (section,) = [item for item in sections if item.startswith(f"{heading}\n")]
    (code,) = _BLOCK.findall(section)
    return str(code)


def test_the_first_example_finds_the_nodule_of_the_bundled_clip(repository: Path, tmp_path: Path) -> None:
    code = _example(repository / "docs" / "python.md")
    assert len([line for line in code.splitlines() if line]) <= 10
    output = _run(code + "\nassert drawing.shape[2] == 3\n", tmp_path)
    assert re.search(r"^\d+ \d+ ms nodule 0\.\d\d \[", output, re.MULTILINE)


def test_the_readme_has_the_same_example(repository: Path) -> None:
    readme = repository / "README.md"
    if _MARKER not in readme.read_text(encoding="utf-8"):
        pytest.skip(f"README.md has no {_MARKER}")
    assert _example(readme) == _example(repository / "docs" / "python.md")


@pytest.mark.slow
@pytest.mark.parametrize("heading", _HEADINGS)
def test_every_other_example_runs(repository: Path, tmp_path: Path, heading: str) -> None:
    assert _run(_section(repository / "docs" / "python.md", heading), tmp_path).strip()


def test_no_example_is_left_out(repository: Path) -> None:
    assert len(_BLOCK.findall((repository / "docs" / "python.md").read_text())) == len(_HEADINGS) + 1
