"""A plan that is open: fixed addresses on the GPU, pinned memory here, one stream, and a CUDA graph per input shape.

Each set of input shapes gets an execution context of its own. A graph replays what one context did, and that context
must not be touched while the graph is kept: changing its shapes makes the replay undefined (NVIDIA, TensorRT
developer guide, section on CUDA graphs). Device memory, host memory and stream are shared: only one runs at a time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.backend import Tensors
from usassist.engine.gpu import Device
from usassist.engine.plan import PlanTensors
from usassist.engine.trt.api import Flavour, create, logger_of
from usassist.engine.trt.tensors import IoTensor, io_tensors
from usassist.errors import BackendFailedError, EngineError, PlanMissingError

__all__ = ["MAX_SHAPES", "TrtRunner"]

logger = logging.getLogger(__name__)

MAX_SHAPES = 4
"""Sets of input shapes that are kept ready, with their graphs; of more, the least recently used is dropped."""

_NO_ROOM = "end other programs that use the GPU (nvidia-smi lists them), or use --backend openvino"
_AGAIN = "open the engine again, or use --backend openvino"


@dataclass(slots=True, kw_only=True, eq=False)
class _Lane:
    """The plan, ready for one set of input shapes. Apart from here a context is in `_spare` alone, never in a local
    name: a traceback would keep it beyond the GPU that it needs to be freed."""

    context: Any
    inputs: dict[str, npt.NDArray[Any]]
    outputs: dict[str, npt.NDArray[Any]]
    graph: int | None = None
    tried: bool = False


class TrtRunner:
    """A plan, ready to run. It may be opened in one thread and run in another, by one at a time.

    Parameters
    ----------
    trt : the library's module
    flavour : which one it is
    content : the plan, built on this machine: a plan is code
    tensors : that it must have
    library : the driver, see :class:`usassist.engine.gpu.Device`

    Raises
    ------
    PlanMissingError
        If the library cannot read the plan, or it has other tensors: it must be built again.
    EngineError
        If there is no room for it, or the GPU fails. Nothing stays allocated.
    """

    def __init__(self, trt: Any, flavour: Flavour, content: bytes, tensors: PlanTensors, library: Any = None) -> None:
        self._title = flavour.title
        self._lock = threading.Lock()
        self._lanes: OrderedDict[tuple[tuple[int, ...], ...], _Lane] = OrderedDict()
        self._spare: Any = None  # a context that no graph was made from
        self._runtime: Any = None
        self._engine: Any = None
        self._device: Device | None = Device(library)  # first of all: see import_trt
        try:
            with self._device as device:
                self.device = device.info.name
                self._load(trt, flavour, content)
                self._io = io_tensors(trt, self._engine)
                _compare(self._io, tensors, flavour)
                self.inputs = {tensor.name: tensor.described for tensor in self._io if tensor.is_input}
                self.outputs = {tensor.name: tensor.described for tensor in self._io if not tensor.is_input}
                self._allocate(device)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold objects that must go while the GPU is open
            self.close()
            raise

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """One inference.

        Parameters
        ----------
        inputs : one array per input, of its type and of a shape that the plan was built for

        Returns
        -------
        outputs : the same pinned arrays at every call with inputs of these shapes; inputs of other shapes overwrite
            them too. They can be read after `close`.

        Raises
        ------
        BackendFailedError
            If TensorRT or the GPU fails, or the plan was not built for these shapes.
        TypeError, ValueError
            If an array has another type or shape than the plan; :class:`usassist.engine.base.Engine` checks that.
        """
        with self._lock:
            if self._device is None:
                raise BackendFailedError(f"{self._title} was closed before; open the engine again")
            with self._device as device:
                lane = self._lane(tuple(inputs[name].shape for name in self.inputs))
                for name, array in lane.inputs.items():
                    np.copyto(array, inputs[name], casting="no")
                if lane.graph is not None:
                    device.launch(lane.graph)
                else:
                    self._enqueue(lane)
                device.synchronize()
                if not lane.tried:  # only now: what is set up in the first run cannot be captured
                    self._capture(lane)
                return lane.outputs

    def close(self) -> None:
        """Free everything, in the opposite order. May be called twice; waits for a run in progress."""
        with self._lock:
            if self._device is None:
                return
            device, self._device = self._device, None
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(BackendFailedError):  # the GPU may be broken; the rest goes all the same
                    stack.enter_context(device)
                while self._lanes:
                    self._drop(device, self._lanes.popitem()[1])
                self._spare = None
                self._engine = None
                self._runtime = None
            device.close()

    def _load(self, trt: Any, flavour: Flavour, content: bytes) -> None:
        trt_logger, self._log = logger_of(trt)
        mark = self._log.mark()
        self._runtime = create(flavour, self._log, trt.Runtime, trt_logger)
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise PlanMissingError(
                f"{flavour.title} cannot read the plan: {self._log.since(mark)}; build it again: usassist engine build"
            )

    def _allocate(self, device: Device) -> None:
        """Allocate for the largest shapes, and prepare fixed shapes now."""
        self._spare = self._new_context()
        inputs = [tensor for tensor in self._io if tensor.is_input]
        largest = self._set_shapes({tensor.name: tensor.max_shape for tensor in inputs})
        self._addresses = {tensor.name: device.allocate(tensor.size(largest[tensor.name])) for tensor in self._io}
        self._buffers = {tensor.name: device.pin(tensor.size(largest[tensor.name])) for tensor in self._io}
        if all(-1 not in tensor.shape for tensor in inputs):
            self._lane(tuple(tensor.max_shape for tensor in inputs))

    def _lane(self, shapes: tuple[tuple[int, ...], ...]) -> _Lane:
        lane = self._lanes.get(shapes)
        if lane is not None:
            if len(self._lanes) > 1:
                self._lanes.move_to_end(shapes)
            return lane
        while len(self._lanes) >= MAX_SHAPES:
            assert self._device is not None
            self._drop(self._device, self._lanes.popitem(last=False)[1])
        if self._spare is None:
            self._spare = self._new_context()
        lane = self._bind(dict(zip(self.inputs, shapes, strict=True)))
        self._spare = None
        self._lanes[shapes] = lane
        return lane

    def _bind(self, input_shapes: dict[str, tuple[int, ...]]) -> _Lane:
        shapes = self._set_shapes(input_shapes)
        arrays: dict[str, npt.NDArray[Any]] = {}
        for tensor in self._io:
            name, shape = tensor.name, shapes[tensor.name]
            buffer, size = self._buffers[name], tensor.size(shape)
            if size > buffer.nbytes:
                raise BackendFailedError(f"{self._title}: {name} {list(shape)} is larger than at the largest input")
            if not self._spare.set_tensor_address(name, self._addresses[name]):
                raise BackendFailedError(f"{self._title} refuses the memory for {name}; {_AGAIN}")
            arrays[name] = buffer[:size].view(tensor.dtype).reshape(shape)
        return _Lane(
            context=self._spare,
            inputs={name: arrays[name] for name in self.inputs},
            outputs={name: arrays[name] for name in self.outputs},
        )

    def _new_context(self) -> Any:
        mark = self._log.mark()
        context = self._engine.create_execution_context()
        if context is None:
            raise BackendFailedError(f"{self._title} cannot get ready: {self._log.since(mark)}; {_NO_ROOM}")
        return context

    def _set_shapes(self, inputs: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Set the shapes of the free inputs in the spare context; returns the shapes of all tensors."""
        mark = self._log.mark()
        for tensor in self._io:
            if tensor.name not in inputs or -1 not in tensor.shape:
                continue
            if not self._spare.set_input_shape(tensor.name, inputs[tensor.name]):
                raise BackendFailedError(
                    f"{self._title} was not built for {tensor.name} {list(inputs[tensor.name])}: "
                    f"{self._log.since(mark)}; correct min and max in engine.toml, and build again"
                )
        unknown = list(self._spare.infer_shapes())
        shapes = {tensor.name: tuple(map(int, self._spare.get_tensor_shape(tensor.name))) for tensor in self._io}
        unknown += [name for name, shape in shapes.items() if -1 in shape]
        if unknown:
            raise EngineError(
                f"{self._title}: the shape of {', '.join(dict.fromkeys(unknown))} depends on more than the shapes "
                "of the inputs; export with outputs of fixed size"
            )
        return shapes

    def _enqueue(self, lane: _Lane) -> None:
        assert self._device is not None
        for name, array in lane.inputs.items():
            self._device.to_device(self._addresses[name], array)
        mark = self._log.mark()
        if not lane.context.execute_async_v3(self._device.stream):
            raise BackendFailedError(f"{self._title} failed: {self._log.since(mark)}; {_AGAIN}")
        for name, array in lane.outputs.items():
            self._device.to_host(array, self._addresses[name])

    def _capture(self, lane: _Lane) -> None:
        """Make the graph of a lane that has run. Without it everything works, a little slower."""
        assert self._device is not None
        lane.tried = True
        capturable = getattr(lane.context, "is_stream_capturable", None)  # TensorRT for RTX alone has it
        if capturable is not None and not capturable(self._device.stream):
            logger.info("%s runs without a CUDA graph: it reports that it cannot be captured", self._title)
            return
        try:
            lane.graph = self._device.capture(lambda: self._enqueue(lane))
        except BackendFailedError as error:
            logger.warning("%s runs without a CUDA graph: %s", self._title, error)

    def _drop(self, device: Device, lane: _Lane) -> None:
        if lane.graph is not None:
            device.drop_graph(lane.graph)
        lane.graph = lane.context = None


def _compare(found: list[IoTensor], wanted: PlanTensors, flavour: Flavour) -> None:
    """Compare names, kinds and types with those of the build, and axes that are fixed in both."""
    sides = {(tensor.name, "input" if tensor.is_input else "output", tensor.dtype): tensor.shape for tensor in found}
    expected = {(name, kind, dtype): shape for name, kind, dtype, shape in wanted}
    agrees = set(sides) == set(expected) and all(
        len(sides[key]) == len(shape)
        and all(here == there or -1 in (here, there) for here, there in zip(sides[key], shape, strict=True))
        for key, shape in expected.items()
    )
    if not agrees:
        listed, stored = (
            "; ".join(f"{kind} {name} {dtype} {list(shape)}" for (name, kind, dtype), shape in table.items())
            for table in (sides, expected)
        )
        raise PlanMissingError(
            f"{flavour.title}: the plan has {listed}, and was stored as {stored}; build it again: usassist engine build"
        )
