"""The engine that the rest of the program sees: every call is checked against the spec."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.closeable import Closeable
from usassist.engine.backend import Runner, Tensors
from usassist.engine.spec import EngineSpec, TensorSpec
from usassist.errors import BackendFailedError, EngineError, EngineOutputError, EngineSpecError

__all__ = ["Engine"]


class Engine(Closeable):
    """An open engine. Every input and output is checked against the spec on every call.

    Parameters
    ----------
    spec : what it is
    runtime : name of the back end
    runner : the loaded graph
    precision : of the artifact that was opened

    Raises
    ------
    EngineSpecError
        If the graph's own tensors differ from the spec; the message lists both.
    """

    def __init__(self, spec: EngineSpec, runtime: str, runner: Runner, precision: str = "fp32") -> None:
        self.spec = spec
        self.runtime = runtime
        self.precision = precision
        self._runner = runner
        self._inputs, self._outputs = _prepared(spec.inputs), _prepared(spec.outputs)
        for kind, wanted, found in (
            ("inputs", spec.inputs, runner.inputs),
            ("outputs", spec.outputs, runner.outputs),
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
        """The name in results and reports: ``openvino`` in FP32, else ``openvino-int8``.

        ``null`` computes nothing in any precision and is always called ``null``.
        """
        return (
            self.runtime if self.runtime == "null" or self.precision == "fp32" else f"{self.runtime}-{self.precision}"
        )

    @property
    def device(self) -> str:
        """What it runs on."""
        return self._runner.device

    def infer(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Run the engine once.

        Parameters
        ----------
        inputs : one array per input of the spec, of its dtype and shape

        Returns
        -------
        outputs : one array per output of the spec, all finite. The next call may overwrite them: copy what
            is kept.

        Raises
        ------
        EngineError
            If the inputs do not match the spec.
        BackendFailedError
            If the runtime fails, whatever it raises.
        EngineOutputError
            If an output is missing, has another shape or type, or is not finite.
        """
        for tensor, dtype, shape in self._inputs:
            array = inputs.get(tensor.name)
            if array is None or not _fits(array, tensor, dtype, shape):
                came = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                raise EngineError(f"engine {self.spec.engine_id} expects {tensor}, got {came}; fix the preprocessing")
        try:
            outputs = self._runner.run(inputs)
        except BackendFailedError:
            raise
        except Exception as error:  # a runtime may raise anything, and the stream must continue
            raise BackendFailedError(f"back end {self.backend} failed: {error}") from error
        for tensor, dtype, shape in self._outputs:
            array = outputs.get(tensor.name)
            if array is None or not _fits(array, tensor, dtype, shape):
                came = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                raise EngineOutputError(f"engine {self.spec.engine_id} must return {tensor}, returned {came}")
            if not _is_finite(array):
                raise EngineOutputError(
                    f"engine {self.spec.engine_id} returned values that are not finite in {tensor.name}"
                )
        return outputs

    def verify(self) -> float:
        """Run the golden input and compare.

        In FP32 the largest difference counts. In FP16 and INT8 the mean difference of each output counts: where an
        output is steep, rounding moves single values far without changing what is decoded from them.

        Returns
        -------
        difference : the largest over the outputs, of single values in FP32, else of means

        Raises
        ------
        EngineError
            If it is larger than the spec allows: the back end must not be used.
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
        self._runner.close()


def _prepared(tensors: tuple[TensorSpec, ...]) -> tuple[tuple[TensorSpec, np.dtype[Any], tuple[int | None, ...]], ...]:
    """What every call compares with, made once: it runs with cold caches, right after an inference."""
    return tuple((tensor, np.dtype(tensor.dtype), tensor.shape) for tensor in tensors)


def _fits(array: npt.NDArray[Any], tensor: TensorSpec, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> bool:
    # The first comparison decides for fixed shapes; a free axis (None) never equals a number.
    return (array.dtype == dtype and array.shape == shape) or tensor.accepts(array.dtype.name, array.shape)


def _is_finite(array: npt.NDArray[Any]) -> bool:
    if array.dtype.kind != "f":
        return True
    # One value that is not finite makes the sum not finite, and a sum takes one pass and no memory. A sum can also
    # overflow; then every value is checked.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduce(array, axis=None)
    return math.isfinite(total) or bool(np.isfinite(array).all())
