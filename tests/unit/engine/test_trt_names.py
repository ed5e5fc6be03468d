"""Every name of TensorRT that our code uses is there in TensorRT 10, in 11 and in TensorRT for RTX.

TensorRT itself cannot be installed everywhere. Its Python module can: it asks for a handful of functions of libraries
of hundreds of megabytes, and is content with empty ones as long as nothing is made with it. `make tensorrt-api`
fetches it. The names are read from our source. The name of a variable there tells the type of the object; one that is
neither listed as one of TensorRT's nor as ours fails the test, so that nothing is left out in silence.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import usassist.engine.backends
import usassist.engine.trt

VERSIONS = ("10.16.1.11", "11.4.0.106")
RTX_ALONE = {("IExecutionContext", "is_stream_capturable")}

FOLDERS = (Path(usassist.engine.trt.__file__).parent, Path(usassist.engine.backends.__file__).parent)
FILES = [*sorted(FOLDERS[0].glob("*.py")), *sorted(FOLDERS[1].glob("tensorrt*.py"))]

TYPES = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "engine": "ICudaEngine",
    "io_tensor": "ITensor",
    "lane.context": "IExecutionContext",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "parser_error": "ParserError",
    "profile": "IOptimizationProfile",
    "self._engine": "ICudaEngine",
    "self._runtime": "Runtime",
    "self._spare": "IExecutionContext",
    "severity": "ILogger.Severity",
}
# Ours and Python's: names, and things that are reached from one of TensorRT's or from `self`.
OURS = {
    *("build", "buffer", "collections", "contextlib", "device", "dict", "error", "expected", "flavour", "found"),
    *("functools", "importlib", "info", "inputs", "itertools", "lane", "levels", "line", "lines", "log", "logger"),
    *("logging", "monitor", "names", "np", "npt", "path", "phases", "plan", "re", "reasons", "self", "shapes", "spec"),
    *("stack", "str", "table", "tensor", "tensors", "threading", "traceback"),
}
OUR_PARTS = {
    "lane.inputs",
    "lane.outputs",
    "parser_error.desc()",
    "self._device",
    "self._lanes",
    "self._lines",
    "self._log",
    "self._open",
}
OUR_METHODS = {"raise_pending"}

STUB = "".join(
    f"void *{name}(void) {{ return 0; }}\n"
    for name in (
        "createInferBuilder_INTERNAL",
        "createInferRuntime_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createNvOnnxParser_INTERNAL",
        "createNvOnnxParserRefitter_INTERNAL",
        "getBuilderPluginRegistry",
        "getPluginRegistry",
        "getNvOnnxParserVersion",
        "initLibNvInferPlugins",
    )
)

ASK = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
missing = []
for path in json.load(sys.stdin):
    thing = module
    for name in path:
        if not hasattr(thing, name):
            missing.append(path)
            break
        thing = getattr(thing, name)
print(json.dumps([module.__version__, missing]))
"""

TOUCH = """
import sys
from usassist.engine.trt.api import TENSORRT, create, import_trt, logger_of
from usassist.engine.trt.progress import make_monitor
from usassist.engine.trt.tensors import numpy_dtype
from usassist.errors import EngineError
sys.modules["tensorrt"] = None  # were it installed, it would come first
trt = import_trt(TENSORRT)
said, log = logger_of(trt)
assert isinstance(said, trt.ILogger)
said.log(trt.ILogger.Severity.ERROR, "kept")
said.log(trt.ILogger.Severity.VERBOSE, "not kept")
assert log.lines(0) == ["kept"]
told = []
monitor = make_monitor(trt, lambda stage, share: told.append((stage, share)))
assert isinstance(monitor, trt.IProgressMonitor)
monitor.phase_start("all", None, 2)
assert monitor.step_complete("all", 0)
assert told[-1] == ("all", 0.5)
assert numpy_dtype(trt, trt.DataType.HALF) == "float16"
try:
    create(TENSORRT, log, trt.Builder, said)
except EngineError as error:
    print(str(error).replace("kept; ", ""))
"""


@dataclass(frozen=True)
class Used:
    """The names in some source: paths from the module on, and what is neither TensorRT's nor ours."""

    paths: set[tuple[str, ...]]
    unknown: set[str]


def _used(source: str) -> Used:
    used = Used(set(), set())
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            _add(used, node.value, node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            assert isinstance(node.args[1], ast.Constant)
            if ast.unparse(node.args[0]) in TYPES:
                _add(used, node.args[0], str(node.args[1].value))
        elif isinstance(node, ast.ClassDef):
            for base in (ast.unparse(base) for base in node.bases):
                if base.startswith("trt."):
                    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)} - OUR_METHODS
                    used.paths.update((*base.split(".")[1:], name) for name in methods)
    return used


def _add(used: Used, base: ast.expr, name: str) -> None:
    text = ast.unparse(base)
    if text.split(".")[0] == "trt":
        used.paths.add((*text.split(".")[1:], name))
    elif text in TYPES:
        used.paths.add((*TYPES[text].split("."), name))
    elif text not in OUR_PARTS and not (_root(base) in OURS and not text.startswith(("self.", "lane."))):
        used.unknown.add(f"{text}.{name}")


def _root(node: ast.expr) -> str:
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            return "str"
        node = node.func if isinstance(node, ast.Call) else node.value  # type: ignore[attr-defined]
    return node.id


def _missing(names: set[tuple[str, ...]], module: str, **environment: str) -> tuple[str, set[tuple[str, ...]]]:
    run = subprocess.run(
        [sys.executable, "-c", ASK, module],
        input=json.dumps(sorted(names)),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    version, missing = json.loads(run.stdout)
    return version, {tuple(path) for path in missing}


@pytest.fixture(scope="module")
def everything() -> Used:
    return _used("\n".join(path.read_text() for path in FILES).replace("from __future__ import annotations", ""))


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("empty libraries are compiled with gcc, which is not here")
    folder = tmp_path_factory.mktemp("stubs")
    (folder / "stub.c").write_text(STUB)
    for major in {version.split(".")[0] for version in VERSIONS}:
        for stem in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            name = f"lib{stem}.so.{major}"
            command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", name, "stub.c"]
            subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture(params=VERSIONS)
def tensorrt(request: pytest.FixtureRequest, stubs: Path) -> tuple[str, dict[str, str]]:
    folder = Path(sys.prefix) / "tensorrt-api" / request.param
    if not folder.is_dir():
        pytest.skip(f"the names of TensorRT {request.param} are not here; run make tensorrt-api")
    return request.param, {"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(stubs)}


def test_everything_our_code_touches_is_known_to_be_tensorrts_or_ours(everything: Used) -> None:
    assert not everything.unknown
    assert len(everything.paths) > 50


def test_every_name_is_there_in_tensorrt(everything: Used, tensorrt: tuple[str, dict[str, str]]) -> None:
    version, environment = tensorrt
    found, missing = _missing(everything.paths, "tensorrt_bindings", **environment)
    assert found == version
    assert missing <= RTX_ALONE


def test_every_name_is_there_in_tensorrt_for_rtx(everything: Used) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="its names come with the extra `tensorrt-rtx`")
    assert not _missing(everything.paths, "tensorrt_rtx_bindings")[1]


def test_a_wrong_name_is_caught(tensorrt: tuple[str, dict[str, str]]) -> None:
    source = (
        "flag = trt.BuilderFlag.FP61\n"
        "session = trt.Sesion(said)\n"
        "config.max_workspace_size = 1\n"
        "self._spare.execute_async_v2(handle)\n"
        "getattr(engine, 'get_binding_index', None)\n"
        "class Monitor(trt.IProgressMonitor):\n    def step_completed(self, name, step): pass\n"
        "trt.BuilderFlag.TF32\n"
    )
    used = _used(source)
    assert not used.unknown
    assert _missing(used.paths, "tensorrt_bindings", **tensorrt[1])[1] == {
        ("BuilderFlag", "FP61"),
        ("Sesion",),
        ("IBuilderConfig", "max_workspace_size"),
        ("IExecutionContext", "execute_async_v2"),
        ("ICudaEngine", "get_binding_index"),
        ("IProgressMonitor", "step_completed"),
    }


def test_a_name_of_one_major_version_alone_is_caught(stubs: Path) -> None:
    names = {("BuilderFlag", "FP16"), ("IBuilderConfig", "int8_calibrator"), ("IBuilderConfig", "build_route")}
    missing = {}
    for version in VERSIONS:
        folder = Path(sys.prefix) / "tensorrt-api" / version
        if not folder.is_dir():
            pytest.skip(f"the names of TensorRT {version} are not here; run make tensorrt-api")
        missing[version] = _missing(names, "tensorrt_bindings", PYTHONPATH=str(folder), LD_LIBRARY_PATH=str(stubs))[1]
    assert missing[VERSIONS[0]] == {("IBuilderConfig", "build_route")}
    assert missing[VERSIONS[1]] == names - {("IBuilderConfig", "build_route")}


def test_our_classes_fit_the_real_ones_and_a_library_that_does_not_start_is_one_line(
    tensorrt: tuple[str, dict[str, str]], repository: Path
) -> None:
    """Empty libraries answer as a driver that is too old does: with nothing."""
    environment = {**os.environ, **tensorrt[1]}
    environment["PYTHONPATH"] += os.pathsep + str(repository)
    run = subprocess.run([sys.executable, "-c", TOUCH], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("TensorRT does not start: no reason was logged (")
    assert run.stdout.endswith("; update the driver of the GPU, or use another --backend\n")
    assert run.stdout.count("\n") == 1


def test_a_thing_that_is_not_listed_is_not_passed_over() -> None:
    assert _used("gadget.spin()").unknown == {"gadget.spin"}
    assert _used("self._gadget.spin()").unknown == {"self._gadget.spin"}
    assert not _used("'; '.join(lines)").unknown


def test_make_fetches_the_versions_that_are_compared(repository: Path) -> None:
    makefile = repository / "Makefile"
    assert f"TENSORRT_API := {' '.join(VERSIONS)}\n" in makefile.read_text()
