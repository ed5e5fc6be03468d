"""What every back end gives, and the engine that the rest of the program sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from usassist.common.closeable import Closeable
from usassist.engine.spec import EngineSpec, TensorSpec
from usassist.errors import BackendFailedError, EngineError, EngineOutputError, EngineSpecError

__all__ = ["Engine", "Session", "Tensors"]

Tensors = Mapping[str, npt.NDArray[Any]]


class Session(Protocol):
    """What a back end module's ``open`` returns: a graph, loaded and ready.

    Attributes
    ----------
    inputs, outputs : name → (dtype name, shape) as the runtime itself reports them; None = free side
    device : what it runs on, for example ``CPU``
    """

    inputs: dict[str, tuple[str, tuple[int | None, ...]]]
    outputs: dict[str, tuple[str, tuple[int | None, ...]]]
    device: str

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """One inference. The arrays given back may be overwritten by the next call."""
        ...

    def close(self) -> None:
        """Free what it holds. May be called twice."""
        ...


class Engine(Closeable):
    """An open engine: every input and output is checked against the spec on every call.

    Parameters
    ----------
    spec : what it is
    runtime : name of the back end
    session : the back end's graph
    precision : of the artefact that was opened

    Raises
    ------
    EngineSpecError
        If the graph's own tensors differ from the spec; the message lists both.
    """

    def __init__(self, spec: EngineSpec, runtime: str, session: Session, precision: str = "fp32") -> None:
        self.spec = spec
        self.runtime = runtime
        self.precision = precision
        self._session = session
        self._inputs, self._outputs = _prepared(spec.inputs), _prepared(spec.outputs)
        for kind, wanted, found in (
            ("inputs", spec.inputs, session.inputs),
            ("outputs", spec.outputs, session.outputs),
        ):
            agrees = set(found) == {tensor.name for tensor in wanted} and all(
                tensor.accepts(*found[tensor.name])
                and (kind == "outputs" or tensor.is_as_free_in(found[tensor.name][1]))
                for tensor in wanted
            )
            if not agrees:
                listed = "; ".join(f"{name} {dtype} {list(shape)}" for name, (dtype, shape) in found.items())
                raise EngineSpecError(
                    f"engine {spec.engine_id}: the graph's {kind} are {listed}; engine.toml says "
                    f"{'; '.join(str(tensor) for tensor in wanted)}; correct engine.toml or the export"
                )

    @property
    def backend(self) -> str:
        """What answers, as every result and every report says it: ``openvino`` in FP32, else ``openvino-int8``.

        ``null`` computes nothing in any precision and is always called ``null``.
        """
        return (
            self.runtime if self.runtime == "null" or self.precision == "fp32" else f"{self.runtime}-{self.precision}"
        )

    @property
    def device(self) -> str:
        """What it runs on."""
        return self._session.device

    def infer(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Run the engine once.

        Parameters
        ----------
        inputs : one array per input of the spec, of its dtype and shape

        Returns
        -------
        outputs : one array per output of the spec, all finite. They may be overwritten by the next call: copy what
            is kept.

        Raises
        ------
        EngineError
            If the inputs do not fit.
        BackendFailedError
            If the runtime fails, whatever it raises.
        EngineOutputError
            If an output is missing, has another shape or type, or is not finite.
        """
        for tensor, dtype, shape in self._inputs:
            array = inputs.get(tensor.name)
            if array is None or not _fits(array, tensor, dtype, shape):
                came = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                raise EngineError(f"engine {self.spec.engine_id} wants {tensor}, got {came}; mend the preprocessing")
        try:
            outputs = self._session.run(inputs)
        except BackendFailedError:
            raise
        except Exception as error:  # a runtime may raise anything, and the stream must go on
            raise BackendFailedError(f"back end {self.backend} failed: {error}") from error
        for tensor, dtype, shape in self._outputs:
            array = outputs.get(tensor.name)
            if array is None or not _fits(array, tensor, dtype, shape):
                came = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                raise EngineOutputError(f"engine {self.spec.engine_id} must give {tensor}, gave {came}")
            if not _is_finite(array):
                raise EngineOutputError(
                    f"engine {self.spec.engine_id} gave values that are not finite in {tensor.name}"
                )
        return outputs

    def verify(self) -> float:
        """Run the golden input.

        In FP32 every value counts. In FP16 and INT8 the mean difference of each output counts: where an output is
        steep, rounding moves single values far without moving what is decoded from them.

        Returns
        -------
        difference : the largest difference of any output from the golden output, of values in FP32, else of means

        Raises
        ------
        EngineError
            If it is larger than the spec allows: this back end must not be used.
        """
        golden = self.spec.golden
        stored = golden.load([tensor.name for tensor in (*self.spec.inputs, *self.spec.outputs)])
        outputs = self.infer(
            {tensor.name: np.ascontiguousarray(stored[tensor.name], tensor.dtype) for tensor in self.spec.inputs}
        )
        bounds = golden.mean_abs_diff.get(self.precision)
        largest = 0.0
        for tensor in self.spec.outputs:
            expected = stored[tensor.name].astype(np.float64)
            if expected.shape != outputs[tensor.name].shape:
                raise EngineSpecError(
                    f"golden file {golden.path}: {tensor.name} has shape {expected.shape}; make it again"
                )
            apart = np.abs(outputs[tensor.name] - expected)
            difference = float(apart.max() if bounds is None else apart.mean())
            allowed = golden.max_abs_diff if bounds is None else bounds[tensor.name]
            if difference > allowed:
                raise EngineError(
                    f"engine {self.spec.engine_id} on back end {self.backend}: {tensor.name} differs from its golden "
                    f"output by {difference:.3g}{'' if bounds is None else ' on average'}, allowed is {allowed:.3g}; "
                    f"use another --{'backend' if bounds is None else 'precision'}"
                )
            largest = max(largest, difference)
        return largest

    def close(self) -> None:
        """Free the runtime. May be called twice."""
        self._session.close()


def _prepared(tensors: tuple[TensorSpec, ...]) -> tuple[tuple[TensorSpec, np.dtype[Any], tuple[int | None, ...]], ...]:
    """What every call compares with, made once: a frame's time is short, and the inference has emptied the caches."""
    return tuple((tensor, np.dtype(tensor.dtype), tensor.shape) for tensor in tensors)


def _fits(array: npt.NDArray[Any], tensor: TensorSpec, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> bool:
    # The first line answers for fixed shapes; a free side is never equal to a number.
    return (array.dtype == dtype and array.shape == shape) or tensor.accepts(array.dtype.name, array.shape)


def _is_finite(array: npt.NDArray[Any]) -> bool:
    if array.dtype.kind != "f":
        return True
    # A value that is not finite makes the sum so too, and a sum takes one pass and no memory. That the sum is not
    # finite may also come from its size; then every value is looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduce(array, axis=None)
    return math.isfinite(total) or bool(np.isfinite(array).all())
