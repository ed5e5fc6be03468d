"""A GPU in use: its memory, one stream, and graphs of what that stream did. See :mod:`usassist.engine.cuda`."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable
from ctypes import byref, c_uint64, c_void_p
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from usassist.engine.cuda import check, describe_device, driver, error_name
from usassist.errors import BackendFailedError

__all__ = ["Device"]

logger = logging.getLogger(__name__)

_STREAM_NON_BLOCKING = 1  # waits for no work of the default stream
_CAPTURE_THREAD_LOCAL = 1  # what other threads do meanwhile cannot spoil the capture


class Device:
    """A GPU that is in use: memory, one stream, and graphs of what that stream did.

    A context is current in one thread only. ``with device:`` makes this one current for the block, in whatever thread
    that is, and leaves the thread as it was; every method but `close` must be called in such a block. It is the
    primary context, the one that CUDA's own runtime, and so TensorRT, takes too.

    Parameters
    ----------
    library : the driver, declared; None = the one of this machine

    Attributes
    ----------
    info : what it is
    stream : address of the stream, for enqueuing work on it; never the default stream

    Raises
    ------
    BackendUnavailableError
        If there is no GPU.
    BackendFailedError
        If a call of the driver fails; so does every method.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library or driver()
        self._addresses: list[int] = []
        self._pinned: list[npt.NDArray[np.uint8]] = []
        self._graphs: list[int] = []
        self.stream = 0
        self.info = describe_device(self._library)
        context = c_void_p()
        check(self._library, "cuDevicePrimaryCtxRetain", byref(context), self.info.ordinal)
        self._context: int | None = context.value
        try:
            with self:
                stream = c_void_p()
                self._call("cuStreamCreate", byref(stream), _STREAM_NON_BLOCKING)
                self.stream = stream.value or 0
        except BackendFailedError:
            self.close()
            raise

    def __enter__(self) -> Self:
        if self._context is None:
            raise BackendFailedError("the GPU was closed before; open the engine again")
        self._call("cuCtxPushCurrent_v2", self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._quietly("cuCtxPopCurrent_v2", byref(c_void_p()))

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the GPU, at least one; freed by `close`."""
        address = c_uint64()
        self._call("cuMemAlloc_v2", byref(address), max(1, size))
        self._addresses.append(address.value)
        return address.value

    def pin(self, size: int) -> npt.NDArray[np.uint8]:
        """`size` bytes of this computer, at least one, that the GPU can read and write directly; unpinned by `close`.

        They are ordinary memory that is pinned, not memory of the driver: after `close` their last content can still be
        read.
        """
        array = np.frombuffer(mmap.mmap(-1, max(1, size)), np.uint8)
        self._call("cuMemHostRegister_v2", array.ctypes.data, array.nbytes, 0)
        self._pinned.append(array)
        return array

    def to_device(self, address: int, array: npt.NDArray[Any]) -> None:
        """Enqueue the copy of a pinned array to the GPU."""
        self._call("cuMemcpyHtoDAsync_v2", address, array.ctypes.data, array.nbytes, self.stream)

    def to_host(self, array: npt.NDArray[Any], address: int) -> None:
        """Enqueue the copy from the GPU to a pinned array."""
        self._call("cuMemcpyDtoHAsync_v2", array.ctypes.data, address, array.nbytes, self.stream)

    def synchronize(self) -> None:
        """Wait until the stream has done all that was enqueued."""
        self._call("cuStreamSynchronize", self.stream)

    def capture(self, work: Callable[[], None]) -> int:
        """A graph of what `work` enqueues on the stream; none of it is done now.

        Raises
        ------
        BackendFailedError
            If that cannot be captured; the stream can be used as before.
        """
        graph, executable = c_void_p(), c_void_p()
        self._call("cuStreamBeginCapture_v2", self.stream, _CAPTURE_THREAD_LOCAL)
        try:
            work()
        except BaseException:
            self._quietly("cuStreamEndCapture", self.stream, byref(graph))
            if graph.value:
                self._quietly("cuGraphDestroy", graph)
            raise
        self._call("cuStreamEndCapture", self.stream, byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", byref(executable), graph, 0)
        finally:
            self._quietly("cuGraphDestroy", graph)
        self._graphs.append(executable.value or 0)
        return executable.value or 0

    def launch(self, graph: int) -> None:
        """Enqueue a graph."""
        self._call("cuGraphLaunch", graph, self.stream)

    def drop_graph(self, graph: int) -> None:
        """Forget a graph that is not running."""
        self._graphs.remove(graph)
        self._quietly("cuGraphExecDestroy", graph)

    def close(self) -> None:
        """Free everything, whatever state the GPU is in. May be called twice."""
        if self._context is None:
            return
        context, self._context = self._context, None
        pushed = self._quietly("cuCtxPushCurrent_v2", context)
        if self.stream:
            self._quietly("cuStreamSynchronize", self.stream)
        for graph in self._graphs:
            self._quietly("cuGraphExecDestroy", graph)
        for address in self._addresses:
            self._quietly("cuMemFree_v2", address)
        for array in self._pinned:
            self._quietly("cuMemHostUnregister", array.ctypes.data)
        if self.stream:
            self._quietly("cuStreamDestroy_v2", self.stream)
        if pushed:
            self._quietly("cuCtxPopCurrent_v2", byref(c_void_p()))
        self._quietly("cuDevicePrimaryCtxRelease_v2", self.info.ordinal)
        self._graphs, self._addresses, self._pinned, self.stream = [], [], [], 0

    def _call(self, name: str, *arguments: Any) -> None:
        check(self._library, name, *arguments)

    def _quietly(self, name: str, *arguments: Any) -> bool:
        """For clean-up: after some errors every call fails, and the first failure was raised already."""
        code = getattr(self._library, name)(*arguments)
        if code:
            logger.debug("%s: %s", name, error_name(self._library, code))
        return bool(code == 0)
