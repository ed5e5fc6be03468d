"""The contract of a back end: one class with the same declared names, whatever runtime is behind it.

A file of ``engine/backends/``, or another package, derives one class from :class:`Backend`, or from
:class:`usassist.engine.plan.PlanBackend` where the runtime needs a plan that is built first. It reports names, types
and shapes as its runtime sees them, and raises when it fails. Everything else is done for it: hashes, comparison with
``engine.toml``, golden input, checks of every call, cache, locks, failover. ``docs/engines.md`` has a complete
example, and :mod:`usassist.engine.conformance` checks one.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy.typing as npt

from usassist.engine.spec import EngineSpec

__all__ = ["DEVICES", "PRECISIONS", "Backend", "Progress", "Runner", "Tensors"]

PRECISIONS = ("fp32", "fp16", "int8")
DEVICES = ("cpu", "cuda", "none")
"""What a back end runs on; ``none`` computes nothing, and every result says so."""

Tensors = Mapping[str, npt.NDArray[Any]]

Progress = Callable[[str, float], None]
"""Receives what is being done and how much of it is done, 0 to 1."""


class Runner(Protocol):
    """A graph that is loaded and ready to run: what :meth:`Backend.open` returns.

    It may be opened in one thread and run in another, by one thread at a time.

    Attributes
    ----------
    inputs, outputs : name → (dtype name, shape) as the runtime itself reports them; None = free axis
    device : what it runs on, for example ``CPU``
    """

    inputs: dict[str, tuple[str, tuple[int | None, ...]]]
    outputs: dict[str, tuple[str, tuple[int | None, ...]]]
    device: str

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """One inference.

        It writes into no input. The next call may overwrite the arrays that it returned; until then they can be read,
        and writing into them changes neither an input nor a later answer. It may raise anything; after `close` it must
        raise.
        """
        ...

    def close(self) -> None:
        """Free what it holds. May be called twice. Arrays that `run` returned can still be read."""
        ...


class Backend(ABC):
    """A runtime on a device.

    The constructor imports nothing of the runtime: `why_not_installed` and the other methods do.

    Parameters
    ----------
    name : as results, commands and settings name it
    device : one of :data:`DEVICES`
    install : what to do when its runtime is missing; ends the message, so it reads as an instruction

    Attributes
    ----------
    requires : the modules that it imports
    formats : the artifacts of ``engine.toml`` that it reads, best first
    precisions : what it really computes in, in the order in which ``auto`` takes them. A runtime that would compute an
        INT8 file in float does not run INT8.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    formats: ClassVar[tuple[str, ...]] = ("onnx",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    def __init__(
        self, name: str, *, device: str = "cpu", install: str = "see the documentation of its package"
    ) -> None:
        self.name = name
        self.device = device
        self.install = install

    def why_not_installed(self) -> str | None:
        """Why its runtime cannot be imported, with what to do; None when it can. One line; never raises."""
        for module in self.requires:
            try:
                importlib.import_module(module)
            except ImportError as error:
                return f"{module} cannot be imported ({error}); {self.install}"
        return None

    def why_not_here(self) -> str | None:
        """Why it cannot run on this machine although it is installed; None when it can. One line; never raises.

        Called only where there is a device of its kind and `why_not_installed` returned None.
        """
        return None

    @abstractmethod
    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        """Load a file.

        Parameters
        ----------
        spec : the engine, for what the file does not say
        path : an artifact in one of `formats`; its hash has been checked
        threads : CPU threads; 0 = as many as the process may use
        precision : of the artifact, one of `precisions`

        Raises
        ------
        BackendUnavailableError
            If this machine cannot run it.
        EngineError
            If the runtime cannot load it. No other kind of error.
        """
