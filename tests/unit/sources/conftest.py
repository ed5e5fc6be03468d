"""Small synthetic clips for the tests of the sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from usassist.common.pyav import av


def _make_images(count: int, hw_px: tuple[int, int], *, seed: int = 0, channels: int = 1, most: int = 255) -> list[Any]:
    rng = np.random.default_rng(seed)
    shape = hw_px if channels == 1 else (*hw_px, channels)
    return [rng.integers(0, most + 1, shape, dtype=np.uint8 if most < 256 else np.uint16) for _ in range(count)]


def _write_clip(
    path: Path,
    images: Sequence[npt.NDArray[Any]],
    *,
    codec: str = "ffv1",
    pix_fmt: str = "gray",
    image_format: str = "gray",
    rate: int = 10,
    stamps: Sequence[int] | None = None,
    setup: Callable[[Any], None] | None = None,
    audio_s: float = 0.0,
    options: dict[str, str] | None = None,
    hw_px: tuple[int, int] | None = None,
) -> Path:
    """Encode images; `stamps` are in units of 1 / rate s."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = hw_px or images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if setup is not None:
            setup(stream)
        sound = container.add_stream("pcm_s16le", rate=8000) if audio_s else None
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format=image_format)
            frame.pts = index if stamps is None else stamps[index]
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            container.mux(sound.encode(_silence(audio_s)))
            container.mux(sound.encode())
    return path


def _write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        container.mux(stream.encode(_silence(0.5)))
        container.mux(stream.encode())
    return path


def _silence(duration_s: float) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, int(8000 * duration_s)), np.int16), format="s16", layout="mono")
    frame.sample_rate = 8000
    frame.pts = 0
    return frame


@pytest.fixture
def make_images() -> Callable[..., list[Any]]:
    return _make_images


@pytest.fixture
def write_clip() -> Callable[..., Path]:
    return _write_clip


@pytest.fixture
def write_sound() -> Callable[[Path], Path]:
    return _write_sound
