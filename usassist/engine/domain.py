"""What an engine was made for, and the output with which it judges whether a frame shows that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from usassist.errors import EngineOutputError, EngineSpecError

if TYPE_CHECKING:
    from usassist.engine.spec import TensorSpec

__all__ = ["Domain"]

_ROUNDING = 0.01  # beyond 0 to 1, which quantised arithmetic may reach; more is no probability
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What the frames show that an engine was made for. On any other frame the engine abstains.

    Attributes
    ----------
    name : of what they show, one word as it is displayed, for example ``thyroid``
    output : of the engine, float32 (1, 1): the probability that the frame shows it
    threshold : the engine abstains below it; 0 = never
    source : the command that measured the threshold

    Raises
    ------
    EngineSpecError
        If name, output or source is empty, or the threshold does not lie in 0 to 1.
    """

    name: str
    output: str
    threshold: float
    source: str

    def __post_init__(self) -> None:
        """Check texts and threshold."""
        if not (self.name.strip() and self.output and self.source):
            raise EngineSpecError("domain: name, output and source must not be empty; say what the engine is made for")
        if not 0.0 <= self.threshold <= 1.0:
            raise EngineSpecError(f"domain: threshold must lie in 0 to 1, got {self.threshold:g}; correct it")

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """See that the engine has the output, as one number.

        Raises
        ------
        EngineSpecError
            If it has no such output, or one of another type or shape.
        """
        found = next((tensor for tensor in outputs if tensor.name == self.output), None)
        if found is None:
            names = ", ".join(tensor.name for tensor in outputs)
            raise EngineSpecError(
                f"domain: there is no output {self.output}, only {names}; name the output that gives the probability"
            )
        if (found.dtype, found.shape) != ("float32", (1, 1)):
            raise EngineSpecError(f"domain: the output must be {self.output} float32 [1, 1], got {found}; export it so")

    def read_prob(self, outputs: Mapping[str, npt.NDArray[Any]]) -> float:
        """The probability that the frame shows it, 0 to 1, from the outputs of one inference.

        Raises
        ------
        EngineOutputError
            If the output is missing, is not one number, or is no probability.
        """
        array = outputs.get(self.output)
        if array is None or array.size != 1:
            came = "nothing" if array is None else f"shape {list(array.shape)}"
            raise EngineOutputError(
                f"output {self.output} must be one number, got {came}; use an engine for ultrasound"
            )
        prob = float(array.reshape(-1)[0])
        if not -_ROUNDING <= prob <= 1.0 + _ROUNDING:
            raise EngineOutputError(
                f"output {self.output} must be a probability, got {prob:.3g}; put the sigmoid into the graph"
            )
        return min(max(prob, 0.0), 1.0)

    def why_abstain(self, prob: float) -> str:
        """Why the engine abstains at this probability, for display; empty where it does not.

        Two digits, or as many as tell the two apart.
        """
        if prob >= self.threshold:
            return ""
        digits = 2
        while digits < _MAX_DIGITS and f"{prob:.{digits}f}" == f"{self.threshold:.{digits}f}":
            digits += 1
        return f"not {self.name} ({prob:.{digits}f} < {self.threshold:.{digits}f})"
