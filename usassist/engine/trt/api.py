"""TensorRT's Python module: its names, the supported versions, its log."""

from __future__ import annotations

import collections
import functools
import importlib
import importlib.metadata
import itertools
import logging
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from usassist.errors import BackendUnavailableError, EngineError

__all__ = ["RTX", "TENSORRT", "Flavour", "Log", "create", "cuda_major", "import_trt", "logger_of", "why_not_installed"]

logger = logging.getLogger(__name__)

_KEPT_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """One of the two libraries with this interface.

    Attributes
    ----------
    title : what its maker calls it
    names : of its module; the second is there where only its wheels with ``_bindings`` and ``_libs`` are installed
    least, below : supported versions
    install : what to do when it is missing
    timed : True when its builder measures on the GPU, and the timings can be reused
    """

    title: str
    names: tuple[str, ...]
    least: tuple[int, int]
    below: tuple[int, int]
    install: str
    timed: bool


TENSORRT = Flavour(
    title="TensorRT",
    names=("tensorrt", "tensorrt_bindings"),
    least=(10, 12),  # the first whose networks can be strongly typed in all that is used here
    below=(12, 0),
    install="pip install 'usassist[tensorrt]'",
    timed=True,
)
RTX = Flavour(
    title="TensorRT for RTX",
    names=("tensorrt_rtx", "tensorrt_rtx_bindings"),
    least=(1, 7),
    below=(2, 0),
    install="pip install 'usassist[tensorrt-rtx]'",
    timed=False,
)


def why_not_installed(flavour: Flavour) -> str | None:
    """Why a library cannot be imported here, with what to install; None when it can. Creates nothing of it."""
    try:
        import_trt(flavour)
    except BackendUnavailableError as error:
        return str(error)
    return None


def import_trt(flavour: Flavour) -> ModuleType:
    """The module of a library.

    Importing it is safe everywhere. Its ``Runtime`` is not: made where there is no driver, it ends the interpreter as
    soon as it is used or freed, so that nothing but a runner with an open :class:`usassist.engine.gpu.Device` makes
    one.

    Raises
    ------
    BackendUnavailableError
        If it is not installed, cannot be imported or is of a version that is not supported.
    """
    reasons = []
    for name in flavour.names:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library of its own is missing
            reasons.append(" ".join(str(error).split()))
            continue
        return _checked(module, flavour)
    raise BackendUnavailableError(f"{flavour.title} cannot be imported ({'; '.join(reasons)}); {flavour.install}")


def cuda_major(flavour: Flavour) -> int:
    """Major version of CUDA that the installed wheels were made for; 0 where it was not installed as such wheels."""
    stem = flavour.names[0]
    for major in range(11, 20):
        try:
            importlib.metadata.version(f"{stem}_cu{major}_bindings")
        except importlib.metadata.PackageNotFoundError:
            continue
        return major
    return 0


def _checked(module: ModuleType, flavour: Flavour) -> ModuleType:
    version = str(getattr(module, "__version__", "unknown"))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    found = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if not flavour.least <= found < flavour.below:
        least, below = (".".join(map(str, edge)) for edge in (flavour.least, flavour.below))
        raise BackendUnavailableError(
            f"{flavour.title} {version} is installed, usassist needs {least} or newer and older than {below}; "
            f"{flavour.install}"
        )
    return module


class Log:
    """The errors that the library logged: it gives the reason for a failure only there."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lines: collections.deque[tuple[int, str]] = collections.deque(maxlen=_KEPT_LINES)

    def add(self, line: str) -> None:
        """Keep an error."""
        self._lines.append((next(self._numbers), " ".join(line.split())))

    def mark(self) -> int:
        """The current position, for `lines` and `since`."""
        return self._lines[-1][0] if self._lines else 0

    def lines(self, mark: int) -> list[str]:
        """The errors since that position."""
        return list(dict.fromkeys(line for number, line in list(self._lines) if number > mark))

    def since(self, mark: int) -> str:
        """The same in one line, for a message."""
        return "; ".join(self.lines(mark)) or "no reason was logged"


@functools.cache
def logger_of(trt: Any) -> tuple[Any, Log]:
    """The one logger of a library in this process, and its log: the library ignores a second one."""
    log = Log()
    severity = trt.ILogger.Severity
    # Errors are raised with their lines by the caller, and a cancelled call is one too.
    levels = {
        severity.INTERNAL_ERROR: logging.WARNING,
        severity.ERROR: logging.WARNING,
        severity.WARNING: logging.INFO,
    }
    errors = (severity.INTERNAL_ERROR, severity.ERROR)

    class ForwardingLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in errors:
                log.add(msg)
            logger.log(levels.get(severity, logging.DEBUG), "%s: %s", trt.__name__, msg)

    return ForwardingLogger(), log


def create(flavour: Flavour, log: Log, kind: Any, *arguments: Any) -> Any:
    """One of the library's first objects, from which all others come.

    Raises
    ------
    EngineError
        If the library does not start: as a rule its version of CUDA is newer than the driver.
    """
    mark = log.mark()
    try:
        return kind(*arguments)
    except (RuntimeError, TypeError) as error:
        raise EngineError(
            f"{flavour.title} does not start: {log.since(mark)} ({' '.join(str(error).split())}); "
            "update the driver of the GPU, or use another --backend"
        ) from error
