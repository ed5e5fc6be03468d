"""Does a back end keep the contract of :mod:`usassist.engine.backend`? Run by its author, and by our own tests.

``usassist engine conformance NAME`` runs :data:`CHECKS` one after the other; each is a function that returns when the
back end passes, raises :class:`NotTested` with a reason where it cannot be asked here, and anything else when it fails.
The graphs are tiny, made here with onnx, and fed to the back end itself: registry, cache and failover are not involved.
Plans are built in this process and not kept.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from usassist.engine.backend import DEVICES, PRECISIONS, Backend, Runner
from usassist.engine.base import Engine
from usassist.engine.comparison import Decoder, compare
from usassist.engine.conformance_graphs import SHAPE, TOLERANCE, affine_graph, convolution_graph, difference_graph
from usassist.engine.cuda import why_no_cuda
from usassist.engine.half import half_artifact, why_no_half
from usassist.engine.parity import open_reference
from usassist.engine.plan import Plan, PlanBackend
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, EngineError, EngineSpecError

__all__ = ["CHECKS", "CheckResult", "NotTested", "Setup", "check_backend", "run_check"]

Array = npt.NDArray[Any]

_LARGE = (1, 1, 8, 6)


class NotTested(Exception):
    """A check cannot be asked of this back end, or not on this machine; the text is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Result of one check.

    Attributes
    ----------
    check : its name, a key of :data:`CHECKS`
    state : ``passed``, ``failed`` or ``skipped``
    detail : why it failed or was skipped, one line; empty = passed
    """

    check: str
    state: Literal["passed", "failed", "skipped"]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the checks get.

    Attributes
    ----------
    backend : that is checked
    folder : for files, empty at the start
    engine : a real engine for the check ``golden``; None = that check is skipped
    decode : reads findings from its outputs; None = only its tensors are compared
    """

    backend: Backend
    folder: Path
    engine: EngineSpec | None = None
    decode: Decoder | None = None

    @property
    def computes(self) -> bool:
        """False for a back end that returns zeros."""
        return self.backend.device != "none"


def check_backend(
    backend: Backend, *, engine: EngineSpec | None = None, decode: Decoder | None = None
) -> tuple[CheckResult, ...]:
    """Run all of :data:`CHECKS`. Parameters as of :class:`Setup`."""
    results = []
    for name in CHECKS:
        with tempfile.TemporaryDirectory(prefix="usassist-conformance-") as folder:
            results.append(run_check(name, Setup(backend=backend, folder=Path(folder), engine=engine, decode=decode)))
    return tuple(results)


def run_check(name: str, setup: Setup) -> CheckResult:
    """Run one check."""
    try:
        CHECKS[name](setup)
    except NotTested as reason:
        return CheckResult(check=name, state="skipped", detail=str(reason))
    except Exception as error:  # noqa: BLE001 - a back end may raise anything, and that is what is reported
        detail = " ".join(str(error).split())
        return CheckResult(
            check=name, state="failed", detail=detail if type(error) is AssertionError else f"{error!r}: {detail}"[:400]
        )
    return CheckResult(check=name, state="passed")


def _declared(setup: Setup) -> None:
    """Names and types of what it declares."""
    backend = setup.backend
    _expect(isinstance(backend, Backend), f"{backend!r} is no instance of usassist.engine.backend.Backend")
    suffixes = tuple(f"-{precision}" for precision in PRECISIONS)
    named = isinstance(backend.name, str) and backend.name not in ("", "auto", "all")
    _expect(named and not backend.name.endswith(suffixes), "name must be its own, without a precision at the end")
    _expect(backend.device in DEVICES, f"device must be one of {', '.join(DEVICES)}, is {backend.device!r}")
    for key in ("requires", "formats", "precisions"):
        value = getattr(backend, key)
        _expect(
            isinstance(value, tuple) and all(isinstance(item, str) and item for item in value),
            f"{key} must be a tuple of texts, is {value!r}",
        )
    _expect(bool(backend.formats), "formats must name at least one artifact, for example onnx")
    _expect(
        bool(backend.precisions) and set(backend.precisions) <= set(PRECISIONS),
        f"precisions must be some of {', '.join(PRECISIONS)}, are {backend.precisions!r}",
    )
    _expect(len(set(backend.precisions)) == len(backend.precisions), "a precision is declared twice")
    if isinstance(backend, PlanBackend):
        _expect(isinstance(backend.build_needs_device, bool), "build_needs_device must be True or False")


def _reasons(setup: Setup) -> None:
    """`why_not_installed` and `why_not_here` return None or one line, and None only where all of `requires` imports."""
    backend = setup.backend
    missing = backend.why_not_installed()
    _expect_reason("why_not_installed", missing)
    if missing is None:
        for module in backend.requires:
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise AssertionError(f"why_not_installed is None, and {module} cannot be imported: {error}") from error
        if backend.device != "cuda" or why_no_cuda() is None:
            _expect_reason("why_not_here", backend.why_not_here())


def _fixed_shape(setup: Setup) -> None:
    """A graph of fixed shape: reported tensors as in the file, values, types and shapes of the outputs."""
    spec, path = _affine(setup)
    with _opened(setup, spec, path) as (engine, runner):
        _expect(isinstance(runner.device, str) and bool(runner.device), "a runner needs a device, as text")
        _answers(setup, engine, _image(SHAPE))


def _free_axis(setup: Setup) -> None:
    """A free axis: several sizes, one after the other, each with outputs of its own size."""
    spec, path = _affine(setup, free=True)
    with _opened(setup, spec, path) as (engine, _):
        for shape in (SHAPE, _LARGE, SHAPE):
            _answers(setup, engine, _image(shape))


def _two_inputs(setup: Setup) -> None:
    """Two inputs that must not be confused."""
    spec, path = _made(setup, lambda: difference_graph(setup.folder))
    first, second = _image(SHAPE), _image(SHAPE, seed=2)
    expected = first - second if setup.computes else np.zeros_like(first)
    with _opened(setup, spec, path) as (engine, _):
        outputs = engine.infer({"second": second, "first": first})  # not in the order of the graph
        _close(outputs["apart"], expected, "fp32", "apart")


def _each_precision(setup: Setup) -> None:
    """Every precision that it declares opens a graph in that precision, and answers within its rounding."""
    reasons = {}
    for precision in setup.backend.precisions:
        spec, path = _made(setup, functools.partial(convolution_graph, setup.folder, precision))
        expected = 2 * _image(SHAPE) if setup.computes else np.zeros(SHAPE, np.float32)
        try:
            with _opened(setup, spec, path, precision) as (engine, _):
                outputs = engine.infer({"image": _image(SHAPE)})
                _close(outputs["doubled"], expected, precision, f"doubled in {precision}")
        except BackendUnavailableError as error:  # for example INT8 on a processor that has none
            reasons[precision] = str(error)
    if len(reasons) == len(setup.backend.precisions):
        raise NotTested("; ".join(reasons.values()))


def _repeatable(setup: Setup) -> None:
    """Equal inputs give equal bits, also with another inference between."""
    spec, path = _affine(setup)
    with _opened(setup, spec, path) as (engine, _):
        first = _copies(engine.infer({"image": _image(SHAPE)}))
        engine.infer({"image": _image(SHAPE, seed=2)})
        again = engine.infer({"image": _image(SHAPE)})
        for name, array in first.items():
            _expect(np.array_equal(array, again[name]), f"{name} differs between two runs of the same input")


def _inputs_kept(setup: Setup) -> None:
    """An inference writes into no input, and takes one that is read-only."""
    spec, path = _affine(setup)
    with _opened(setup, spec, path) as (engine, _):
        image, read_only = _image(SHAPE), _image(SHAPE)
        read_only.setflags(write=False)
        engine.infer({"image": image})
        _expect(np.array_equal(image, _image(SHAPE)), "it wrote into its input")
        engine.infer({"image": read_only})


def _outputs_apart(setup: Setup) -> None:
    """Outputs share no memory with an input or each other; writing into one changes no later answer."""
    spec, path = _affine(setup)
    with _opened(setup, spec, path) as (engine, _):
        image = _image(SHAPE)
        outputs = engine.infer({"image": image})
        expected, arrays, before = _copies(outputs), list(outputs.values()), image.copy()
        _expect(not any(np.shares_memory(image, array) for array in arrays), "an output is the input's own memory")
        _expect(not np.shares_memory(arrays[0], arrays[1]), "two outputs share memory")
        for array in arrays:
            if array.flags.writeable:
                array.fill(7)
        _expect(np.array_equal(image, before), "writing into an output changed the input")
        again = engine.infer({"image": _image(SHAPE)})
        for name, array in expected.items():
            _expect(np.allclose(array, again[name], atol=1e-5), f"writing into {name} changed the next answer")


def _wrong_inputs(setup: Setup) -> None:
    """The layer refuses wrong inputs by name, and the runner still answers afterwards."""
    spec, path = _affine(setup)
    with _opened(setup, spec, path) as (engine, _):
        wrong: tuple[dict[str, Array], ...] = (
            {},
            {"image": _image(SHAPE).astype(np.float64)},
            {"image": _image(_LARGE)},
            {"image": _image(SHAPE)[0]},
        )
        for inputs in wrong:
            try:
                engine.infer(inputs)
            except EngineError as error:
                _expect("image float32" in str(error), f"the message names no input: {error}")
            else:
                raise AssertionError("an input of another type or shape was accepted")
        _answers(setup, engine, _image(SHAPE))


def _errors(setup: Setup) -> None:
    """A file that cannot be loaded raises ``EngineError``, and a graph with other tensors is refused by the layer."""
    if not setup.computes:
        raise NotTested("it reads no file")
    spec, path = _affine(setup)
    broken = setup.folder / "broken.onnx"
    broken.write_bytes(b"this is no graph")
    try:
        _load(setup.backend, spec, broken, "fp32").close()
    except EngineError as error:
        _expect("\n" not in str(error).strip(), "the message has more than one line")
    except Exception as error:
        raise AssertionError(f"a broken file raises {type(error).__name__}, not EngineError: {error}") from error
    else:
        raise AssertionError("a file that is no graph was opened")
    other = dataclasses.replace(spec, outputs=(dataclasses.replace(spec.outputs[0], name="tripled"), spec.outputs[1]))
    try:
        with _opened(setup, other, path):
            pass
    except EngineSpecError:
        return
    raise AssertionError("it reports the tensors of engine.toml and not those of its graph")


def _close_twice(setup: Setup) -> None:
    """It may be closed twice; after that outputs can still be read, and an inference raises."""
    spec, path = _affine(setup)
    runner = _load(setup.backend, spec, path, "fp32")
    outputs = runner.run({"image": _image(SHAPE)})
    expected = _copies(outputs)
    runner.close()
    runner.close()
    for name, array in outputs.items():
        _expect(np.array_equal(array, expected[name]), f"{name} changed when it was closed")
    try:
        runner.run({"image": _image(SHAPE)})
    except Exception:  # noqa: BLE001 - any will do: the layer makes one of its own of it
        return
    raise AssertionError("it answers after it was closed")


def _threads(setup: Setup) -> None:
    """Opened in one thread with any number of threads, run and closed in another."""
    spec, path = _affine(setup)
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        for threads in (0, 1, 2):
            runner = _load(setup.backend, spec, path, "fp32", threads)
            engine = Engine(spec, setup.backend.name, runner)
            other.submit(_answers, setup, engine, _image(SHAPE)).result()
            other.submit(engine.close).result()


def _golden(setup: Setup) -> None:
    """A real engine answers its golden input and varied ones as the reference does, in every precision of both."""
    spec = setup.engine
    if spec is None:
        raise NotTested("no engine was given")
    if not setup.computes:
        raise NotTested("it computes nothing")
    _need_running(setup.backend)
    reasons = []
    for precision in setup.backend.precisions:
        if precision not in spec.precisions or (spec.is_derived(precision) and setup.backend.device != "cuda"):
            continue
        artifact = spec.artifact_for(precision, setup.backend.formats)
        reason = why_no_half() if spec.is_derived(precision) else None
        if artifact is None or reason is not None:
            reasons.append(reason or f"{spec.engine_id} has no artifact that it reads in {precision}")
            continue
        path = spec.check_weights(artifact)
        path = half_artifact(spec, path) if spec.is_derived(precision) else path
        try:
            with _opened(setup, spec, path, precision) as (engine, _), open_reference(spec)[0] as reference:
                failures = compare(engine, reference, setup.decode).failures
        except BackendUnavailableError as error:
            reasons.append(str(error))
            continue
        _expect(not failures, f"{precision}: {'; '.join(failures)}")
        reasons.append("")
    if "" not in reasons:
        raise NotTested("; ".join(reasons) or f"{spec.engine_id} has none of its precisions")


def _null(setup: Setup) -> None:
    """What computes nothing returns zeros and is called ``null``, so that no result of it is taken for an answer."""
    if setup.computes:
        raise NotTested("it computes")
    spec, path = _affine(setup)
    for precision in setup.backend.precisions:
        with _opened(setup, spec, path, precision) as (engine, runner):
            outputs = engine.infer({"image": _image(SHAPE)})
            _expect(not any(array.any() for array in outputs.values()), "device none returns something but zeros")
            _expect((engine.backend, runner.device) == ("null", "none"), "only the back end null may compute nothing")


CHECKS: dict[str, Callable[[Setup], None]] = {
    "declared": _declared,
    "reasons": _reasons,
    "fixed_shape": _fixed_shape,
    "free_axis": _free_axis,
    "two_inputs": _two_inputs,
    "each_precision": _each_precision,
    "repeatable": _repeatable,
    "inputs_kept": _inputs_kept,
    "outputs_apart": _outputs_apart,
    "wrong_inputs": _wrong_inputs,
    "errors": _errors,
    "close_twice": _close_twice,
    "threads": _threads,
    "golden": _golden,
    "null": _null,
}
"""Name → check; the first line of its docstring is what it checks."""


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _expect_reason(name: str, reason: object) -> None:
    good = reason is None or (isinstance(reason, str) and reason.strip() != "" and "\n" not in reason)
    _expect(good, f"{name} must return None or one line of text, returned {reason!r}")


def _close(found: Array, expected: Array, precision: str, name: str) -> None:
    _expect((found.dtype, found.shape) == (expected.dtype, expected.shape), f"{name} is {found.dtype} {found.shape}")
    apart = float(np.abs(found - expected).max())
    _expect(apart <= TOLERANCE[precision], f"{name} is wrong by {apart:.3g}, allowed is {TOLERANCE[precision]:g}")


def _answers(setup: Setup, engine: Engine, image: Array) -> None:
    factors = {"doubled": 2.0, "negated": -1.0} if setup.computes else {"doubled": 0.0, "negated": 0.0}
    expected = {name: np.float32(factor) * image for name, factor in factors.items()}  # before the input can be changed
    outputs = engine.infer({"image": image})
    for name, array in expected.items():
        _close(outputs[name], array, "fp32", name)


def _copies(outputs: dict[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in outputs.items()}


def _image(shape: tuple[int, ...], seed: int = 1) -> Array:
    return np.random.default_rng(seed).uniform(0.1, 1.0, shape).astype(np.float32)


def _need_running(backend: Backend) -> None:
    reason = why_no_cuda() if backend.device == "cuda" else None
    reason = reason or backend.why_not_installed() or backend.why_not_here()
    if reason is not None:
        raise NotTested(f"back end {backend.name} cannot run here: {reason}")
    if "onnx" not in backend.formats:
        raise NotTested(f"back end {backend.name} reads {', '.join(backend.formats)}, and the graphs here are ONNX")


def _load(backend: Backend, spec: EngineSpec, path: Path, precision: str, threads: int = 1) -> Runner:
    """Open a file, or the plan that is built of it now."""
    if not isinstance(backend, PlanBackend):
        return backend.open(spec, path, threads=threads, precision=precision)
    built = backend.build_plan(spec, path, precision, b"", lambda _stage, _share: None)
    plan = Plan(content=built.content, header={}, tensors=built.tensors, path=path.with_suffix(".plan"))
    return backend.open_plan(spec, plan)


@contextmanager
def _opened(setup: Setup, spec: EngineSpec, path: Path, precision: str = "fp32") -> Iterator[tuple[Engine, Runner]]:
    runner = _load(setup.backend, spec, path, precision)
    try:
        yield Engine(spec, setup.backend.name, runner, precision), runner
    finally:
        runner.close()


def _affine(setup: Setup, *, free: bool = False) -> tuple[EngineSpec, Path]:
    return _made(setup, lambda: affine_graph(setup.folder, free=free))


def _made(setup: Setup, make: Callable[[], tuple[EngineSpec, Path]]) -> tuple[EngineSpec, Path]:
    """A tiny graph, where the back end can run and onnx is here."""
    _need_running(setup.backend)
    try:
        return make()
    except ImportError as error:
        raise NotTested(f"onnx cannot be imported ({error}); pip install onnx") from error
