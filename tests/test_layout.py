"""What the folders promise."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import usassist
from usassist.app.runtime.process_table import CHILDREN
from usassist.engine import BACKENDS, list_engines
from usassist.engine.registry import AUTO_ORDER

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(module.name for module in pkgutil.walk_packages(usassist.__path__, "usassist."))
NEEDS_TORCH = re.compile(r"usassist\.(training|engine\.onnx_torch)")


@pytest.mark.parametrize("folder", ["engines", "calibration"])
def test_folders_of_data_hold_no_code(folder: str) -> None:
    assert not list((ROOT / folder).rglob("*.py"))


def test_every_engine_has_spec_weights_card_and_golden_input_within_their_sizes() -> None:
    specs = list_engines(ROOT / "engines")
    assert specs
    table = (ROOT / "engines" / "README.md").read_text()
    for spec in specs:
        assert (spec.folder / "CARD.md").stat().st_size > 1000
        assert spec.check_weights("onnx").stat().st_size <= 8e6
        assert spec.golden.path.stat().st_size <= 200e3
        assert f"`{spec.name}` {spec.version}" in table
        assert "not a medical device" in spec.intended_use.lower()


def test_committed_files_are_small() -> None:
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if run.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, run.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file():
            assert path.stat().st_size <= 8e6, name


@pytest.mark.parametrize("name", MODULES)
def test_every_module_lists_its_public_names(name: str) -> None:
    if NEEDS_TORCH.match(name):
        pytest.importorskip("torch", reason="training needs the extra `train`")
    if name.endswith("__main__"):
        return
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", None)
    if listed is None:
        made_here = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
        assert not [key for key in made_here if not key.startswith("_")]
        return
    assert all(hasattr(module, key) for key in listed)
    assert len(set(listed)) == len(listed)


def test_tables_agree_with_the_files() -> None:
    files = {path.stem for path in (ROOT / "usassist/engine/backends").glob("*.py")} - {"__init__"}
    assert files == {row.target.partition(":")[0].rpartition(".")[2] for row in BACKENDS.values()}
    assert set(AUTO_ORDER) <= set(BACKENDS) - {"null"}
    folders = (
        "usassist/app/runtime/workers",
        "usassist/app/bench/workers",
        "usassist/app/demo/workers",
        "usassist/app/worklist/workers",
    )
    workers = {path.with_suffix("").relative_to(ROOT) for folder in folders for path in (ROOT / folder).glob("*.py")}
    modules = {".".join(path.parts) for path in workers if path.name != "__init__"}
    assert modules == {child.module for child in CHILDREN.values()}
    for module in modules:
        assert callable(importlib.import_module(module).work)


# module that touches the environment → why
READS_ENVIRONMENT = {
    "config.py": "settings, folders and the display",
    "common/processor.py": "limits that a user sets for the runtimes are recorded",
    "common/onnx_runtime.py": "ONNX Runtime takes the switch of its telemetry from there alone",
    "sinks/panel/serve.py": "Gradio is configured through its environment",
    "app/commands/main.py": "OpenCV and the encoder SVT are configured through theirs",
}


def test_only_these_modules_read_the_environment() -> None:
    package = ROOT / "usassist"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\bos\.(environ|getenv|putenv)|\bimport\b.*\b(environ|getenv)\b", path.read_text())
    }
    assert found == set(READS_ENVIRONMENT)


def test_every_folder_of_data_that_is_read_is_in_the_wheel_where_it_is_looked_for() -> None:
    asked = {
        node.args[0].value
        for path in (ROOT / "usassist").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "resource_dir"
        if isinstance(node.args[0], ast.Constant)
    }
    assert {"engines", "calibration", "demo", "bench"} <= asked
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["force-include"].items():
        assert (ROOT / source).exists()
        assert target == f"usassist/_bundled/{source}"
    assert asked == {Path(source).parts[0] for source in wheel["force-include"]}


def test_every_dependency_that_is_imported_is_declared() -> None:
    """What an extra brings is imported where it is used, or in folders that nothing else imports at the top."""
    declared = {_package(item) for item in _project()["dependencies"]}
    extras = {name: {_package(item) for item in items} for name, items in _project()["optional-dependencies"].items()}
    folders = {"training": extras["train"], "onnx_torch": extras["torch"], "objects": extras["dicom"]}
    folders["dicom/studies"] = extras["dicom"]
    lazily = set().union(*(items for name, items in extras.items() if name != "dev"))
    names = {"cv2": "opencv-python", "zmq": "pyzmq", "sklearn": "scikit-learn", "dicomanonymizer": "dicom-anonymizer"}
    for path in (ROOT / "usassist").rglob("*.py"):
        tree = ast.parse(path.read_text())
        here = declared.union(*(items for folder, items in folders.items() if f"/{folder}/" in path.as_posix()))
        for nodes, allowed in ((tree.body, here), (list(ast.walk(tree)), here | lazily)):
            for found in _imports(nodes) - set(sys.stdlib_module_names) - {"usassist"}:
                assert names.get(found, found).replace("_", "-") in allowed, f"{path} imports {found}"


def _imports(nodes: list[ast.AST]) -> set[str]:
    return {
        name.split(".")[0]
        for node in nodes
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }


def _package(requirement: str) -> str:
    return re.split(r"[<>=\[ ]", requirement)[0].lower()


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
