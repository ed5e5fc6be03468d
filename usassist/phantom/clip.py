"""Writes a sweep of the phantom scanner to a video file, and its ground truth to a second file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

from usassist.common.private_files import replacing
from usassist.common.pyav import ColorRange, Colorspace, av
from usassist.errors import SessionError, UsageError
from usassist.phantom.config import PhantomConfig
from usassist.phantom.scanner import PhantomScanner
from usassist.phantom.truth import PhantomFrame, truth_lines

__all__ = ["render_clip"]

# codec, pixel format, options. The two free encoders in PyAV's wheels perform about equally on 3 s of a 1280 x 720
# sweep: VP9 at crf 36 38.3 dB with 4.8 MB per 10 s, SVT-AV1 at crf 24 38.2 dB with 5.5 MB (MPEG-4 33.6 dB with 5.1 MB).
# VP9 was chosen because one core decodes the clip faster (3 ms per frame instead of 6 ms) and its encoder does not
# write to the terminal.
_LOSSY = ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "38", "b": "0"})
_LOSSLESS = ("ffv1", "bgr0", {"level": "3", "slices": "4"})


def render_clip(
    path: str | Path,
    *,
    seconds: float = 10.0,
    seed: int = 7,
    config: PhantomConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    lossless: bool = False,
) -> None:
    """Write ``OUT.mkv`` and ``OUT.truth.jsonl`` for one sweep.

    Both files are written under temporary names and renamed at the end, so that a clip is complete or not there.

    Parameters
    ----------
    path : the video file; its suffix must be ``.mkv``
    seconds : duration of the clip
    seed : seed of the phantom; ignored if `config` is given
    config : of the scanner; None = the default scanner with `seed`
    progress : called after each frame with the number of frames done and of all frames
    lossless : FFV1 in RGB, the exact pixels of the scanner, for tests; otherwise VP9, which is smaller

    Raises
    ------
    UsageError
        If `path` has another suffix or `seconds` is not at least one frame.
    SessionError
        If the files cannot be written.
    """
    path = Path(path)
    config = config if config is not None else PhantomConfig(seed=seed, nodule_count=3, sweep_s=max(seconds, 0.1))
    count = round(seconds * config.rate_hz) if 0 < seconds < 86400 else 0
    if path.suffix != ".mkv":
        raise UsageError(f"a phantom clip is a Matroska file, but the name is {path.name}; let it end in .mkv")
    if count < 1:
        raise UsageError(f"a phantom clip of {seconds} s has no frame at {config.rate_hz:g} Hz; ask for a longer one")
    truth_path = path.with_suffix(".truth.jsonl")
    try:
        with replacing(path) as part, replacing(truth_path) as truth_part:
            _write(part, truth_part, PhantomScanner(config), count, progress, lossless)
    except (OSError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SessionError(f"cannot write {path.name}: {reason}; choose a folder that exists and has space") from error


def _write(
    part: Path,
    truth_part: Path,
    scanner: PhantomScanner,
    count: int,
    progress: Callable[[int, int], None] | None,
    lossless: bool,
) -> None:
    config = scanner.config
    codec, pixel_format, options = _LOSSLESS if lossless else _LOSSY
    rate = Fraction(config.rate_hz).limit_denominator(1001)
    with truth_part.open("w", encoding="utf-8") as truth, av.open(str(part), "w", format="matroska") as container:
        stream = cast("av.VideoStream", container.add_stream(codec, rate=rate, options=dict(options)))
        stream.height, stream.width = config.screen_hw_px
        stream.pix_fmt = pixel_format
        if not lossless:
            stream.color_range = ColorRange.MPEG
            stream.colorspace = Colorspace.ITU709
            stream.color_primaries = 1
            stream.color_trc = 1
            stream.gop_size = max(1, round(config.rate_hz * 2))

        def encoded() -> Iterator[PhantomFrame]:
            for index in range(count):
                shown = scanner.render(index / config.rate_hz)
                frame = av.VideoFrame.from_ndarray(shown.screen, format="rgb24")
                frame = frame.reformat(
                    format=pixel_format,
                    dst_colorspace=None if lossless else Colorspace.ITU709,
                    dst_color_range=None if lossless else ColorRange.MPEG,
                )
                frame.pts, frame.time_base = index, 1 / rate
                container.mux(stream.encode(frame))
                yield shown
                if progress is not None:
                    progress(index + 1, count)

        for line in truth_lines(encoded(), seed=config.seed, rate_hz=config.rate_hz):
            truth.write(line)
        container.mux(stream.encode(None))
