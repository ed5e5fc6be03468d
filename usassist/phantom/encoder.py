"""Encodes screens to a byte stream: MPEG-TS for networks, NUT for FIFOs. Only FFmpeg's own codecs, none under the GPL.

At 1280 x 720 the free codecs of MPEG-TS perform alike (38.5 dB at 20 Mbit/s); MPEG-2 is the default because all its
decoders follow a change of the frame size. FFV1 is lossless and takes three times as long as MJPEG.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from usassist.common.pyav import ColorRange, Colorspace, av
from usassist.errors import UsageError

__all__ = ["CODECS", "ScreenEncoder", "damage"]

UInt8Array = npt.NDArray[np.uint8]
_PACKET = 188

# container → codec → pixel format; the first is the default
CODECS: dict[str, dict[str, str]] = {
    "mpegts": {"mpeg2video": "yuv420p", "mpeg4": "yuv420p"},
    "nut": {
        "mjpeg": "yuvj420p",
        "mpeg2video": "yuv420p",
        "mpeg4": "yuv420p",
        "ffv1": "bgr0",
        "rawvideo": "rgb24",
    },
}
_BITS_PER_PIXEL = 0.72
_KEY_S = 0.5


class ScreenEncoder:
    """One encoded stream of screens of one size.

    Parameters
    ----------
    container : ``mpegts`` or ``nut``
    codec : see ``CODECS``; None = the default of the container
    hw_px : height and width of the screens, even
    rate_hz : frame rate

    Raises
    ------
    UsageError
        If the container cannot hold the codec, or the codec does not support this size or rate.
    """

    def __init__(self, container: str, codec: str | None, hw_px: tuple[int, int], rate_hz: float) -> None:
        known = CODECS[container]
        codec = codec or next(iter(known))
        if codec not in known:
            raise UsageError(f"the codec {codec} is not known for {container}; choose one of {', '.join(known)}")
        self._out = _Collector()
        self._pixels = known[codec]
        self._rate = Fraction(rate_hz).limit_denominator(1001)
        self._container = av.open(self._out, "w", format=container, options={"flush_packets": "1"})
        try:
            stream = cast("av.VideoStream", self._container.add_stream(codec, rate=self._rate, options=_options(codec)))
            stream.height, stream.width = hw_px
            stream.pix_fmt = self._pixels
            stream.codec_context.thread_count = 1
            if codec.startswith("mpeg"):
                stream.bit_rate = round(hw_px[0] * hw_px[1] * rate_hz * _BITS_PER_PIXEL)
                stream.gop_size = max(1, round(rate_hz * _KEY_S))
                stream.max_b_frames = 0
            elif codec == "ffv1":
                stream.gop_size = 1  # a reader may join at any frame
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"the codec {codec} does not support {hw_px[1]}x{hw_px[0]} at {rate_hz:g} Hz: {reason}; "
                "choose another --codec, --size or --rate"
            ) from error
        self._stream = stream

    def encode(self, screen: UInt8Array, number: int) -> bytes:
        """Encode one screen, uint8 (H, W, 3), RGB; its timestamp is `number` frame periods."""
        if self._pixels == "yuv420p":
            planes = cv2.cvtColor(screen, cv2.COLOR_RGB2YUV_I420)  # BT.601, the default of an untagged stream
            frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
        else:
            frame = av.VideoFrame.from_ndarray(screen, format="rgb24")
            if self._pixels == "yuvj420p":
                frame = frame.reformat(
                    format="yuvj420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.JPEG
                )
            elif self._pixels != "rgb24":
                frame = frame.reformat(format=self._pixels)
        frame.pts, frame.time_base = number, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        return self._out.take()


def damage(data: bytes, share: float, rng: np.random.Generator) -> bytes:
    """Overwrite a few payload bytes in a share of the 188-byte packets."""
    damaged = bytearray(data)
    starts = np.arange(0, max(len(data) - _PACKET + 1, 0), _PACKET)
    for start in starts[rng.random(len(starts)) < share]:
        for offset in rng.integers(4, _PACKET, 6):
            damaged[int(start + offset)] = int(rng.integers(256))
    return bytes(damaged)


class _Collector:
    """A file object that collects the output of a muxer."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def _options(codec: str) -> dict[str, str]:
    if codec == "ffv1":
        return {"level": "3", "slices": "4"}
    if codec == "mjpeg":
        return {"qmin": "2", "qmax": "3"}
    if codec == "rawvideo":
        return {}
    return {"qmin": "2", "qmax": "31"} | ({"flags": "+low_delay"} if codec == "mpeg2video" else {})
