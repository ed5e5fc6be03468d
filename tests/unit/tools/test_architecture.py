from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools.architecture import Code, count, draw, find_circles, read_code, reduce_imports, renew_table
from tools.architecture_picture import FRAME_PATH

ROOT = Path(__file__).resolve().parents[3]
RENEW = "python -m tools.architecture --picture docs/pictures/architecture.svg --page docs/architecture.md"
PROJECT = """
[[tool.importlinter.contracts]]
type = "layers"
layers = ["usassist.top", "usassist.left | usassist.right", "usassist.base"]
[[tool.importlinter.contracts]]
type = "layers"
containers = ["usassist.top"]
layers = ["upper", "lower"]
"""
FILES = {
    "__init__.py": "",
    "top/__init__.py": "",
    "top/upper.py": "from usassist.top import lower\nfrom usassist.left import one\n",
    "top/lower.py": "def late():\n    import usassist.right.two\n",
    "left/__init__.py": "from usassist.left.one import f\n",
    "left/one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .other import g\nf = 1\n",
    "left/other.py": "from . import one\nfrom ..base import x\n",
    "right/__init__.py": "",
    "right/two.py": "from usassist import base\nimport os\n",
    "base.py": "x = 1\n",
    "alone.py": "",
}


@pytest.fixture(scope="module")
def here() -> Code:
    return read_code(ROOT)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    for name, text in FILES.items():
        path = tmp_path / "usassist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_picture_of_the_architecture_shows_the_imports_that_there_are(here: Code) -> None:
    committed = (ROOT / "docs/pictures/architecture.svg").read_text(encoding="utf-8")
    assert committed == draw(here), f"the picture is stale; renew it with: {RENEW}"


def test_the_page_of_the_architecture_lists_the_imports_that_there_are(here: Code) -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert page == renew_table(page, here), f"the table is stale; renew it with: {RENEW}"


def test_the_page_of_the_architecture_describes_every_room_of_the_contracts(here: Code) -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Layers")[0]
    rooms = [room.removeprefix("usassist.") for layer in here.layers for room in layer]
    assert [room for room in rooms if f"\n| `{room}` |" not in page] == []


def test_no_modules_import_one_another_in_a_circle_but_those_that_are_known(here: Code) -> None:
    known = {f"usassist.engine.{name}" for name in ("bench", "opening", "registry", "speed", "timing")}
    assert [circle for circle in find_circles(here) if not known.issuperset(circle)] == []


def test_every_module_is_in_a_room_of_the_contracts(here: Code) -> None:
    placed = {room for layer in here.layers for room in layer} | {"usassist", "usassist.__main__", "usassist.app"}
    assert [room for room in here.rooms if room not in placed] == [], "give it a layer in pyproject.toml"


def test_the_picture_shows_the_path_of_a_frame_from_edge_to_edge(here: Code) -> None:
    paths = [path.get("d") or "" for path in ET.fromstring(draw(here)).iter() if path.get("class") == "frame"]
    assert sum(path.startswith("M") for path in paths) == len(FRAME_PATH) + 1


def test_rooms_are_read_from_the_contracts_and_imports_from_every_form_of_statement(small: Path) -> None:
    code = read_code(small)
    assert code.rooms == (
        *("usassist.top.upper", "usassist.top.lower", "usassist.left", "usassist.right", "usassist.base"),
        *("usassist", "usassist.alone", "usassist.top"),
    )
    assert code.room_imports() == {
        ("usassist.left", "usassist.base"): 1,
        ("usassist.left", "usassist.left"): 2,
        ("usassist.right", "usassist.base"): 1,
        ("usassist.top.lower", "usassist.right"): 1,
        ("usassist.top.upper", "usassist.left"): 1,
        ("usassist.top.upper", "usassist.top.lower"): 1,
    }


def test_a_circle_that_only_type_checkers_see_is_told_apart(small: Path) -> None:
    code = read_code(small)
    assert find_circles(code) == []
    assert find_circles(code, typing_too=True) == [["usassist.left.one", "usassist.left.other"]]
    (small / "usassist/base.py").write_text("def f():\n    import usassist.right.two\n")
    assert find_circles(read_code(small)) == [["usassist.base", "usassist.right.two"]]
    assert count(read_code(small))["circles"] == [["usassist.base", "usassist.right.two"]]


def test_an_import_that_others_imply_is_left_out_and_circles_are_kept() -> None:
    assert reduce_imports([("a", "b"), ("b", "c"), ("a", "c"), ("a", "a")]) == {("a", "b"), ("b", "c")}
    assert reduce_imports([("a", "b"), ("b", "a"), ("b", "c"), ("a", "c")]) >= {("a", "b"), ("b", "a")}


def test_the_picture_has_every_room_once_and_an_arrow_for_each_import_that_is_not_implied(small: Path) -> None:
    svg = ET.fromstring(draw(read_code(small)))
    space = "{http://www.w3.org/2000/svg}"
    rooms = [text.text for text in svg.iter(f"{space}text") if not text.get("class")]
    assert sorted(rooms) == ["base", "left", "right", "top.lower", "top.upper"]
    arrows = [path for path in svg.iter(f"{space}path") if path.get("class") == "import"]
    assert len(arrows) == 5


def test_the_command_counts_another_checkout(small: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tools.architecture", "--root", str(small), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    counted = json.loads(run.stdout)
    assert counted["files"] == len(FILES)
    assert {row["room"]: row["files"] for row in counted["rooms"]}["usassist.left"] == 3
    assert "usassist/base.py" in [file["file"] for file in counted["short"]]
