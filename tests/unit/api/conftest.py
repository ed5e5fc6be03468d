"""One engine for all tests of the interface, and images that it finds something in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from usassist import Engine, FrameResult


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that ships, in FP32 on a back end that every installation has."""
    with Engine("thyroid_nodule", backend="onnxruntime", precision="fp32", threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def results(engine: Engine) -> list[FrameResult]:
    """The first frames of the bundled clip."""
    return list(engine.stream("demo", count=70))


@pytest.fixture(scope="session")
def found(results: list[FrameResult]) -> FrameResult:
    """A result with a nodule."""
    return next(result for result in results if result.state == "finding")


@pytest.fixture(scope="session")
def nothing(results: list[FrameResult]) -> FrameResult:
    """A result without any."""
    return next(result for result in results if result.state == "no_finding")


@pytest.fixture(scope="session")
def image(found: FrameResult) -> npt.NDArray[np.uint8]:
    """An image with a nodule, uint8 (H, W, 3) with a tint, so that exchanged channels are noticed."""
    colour = np.repeat(found.image[..., None], 3, axis=2)
    colour[..., 2] //= 2
    return colour
