"""Open source, engine and publisher as one stream, and close them in order."""

from __future__ import annotations

import contextlib
import gc
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2

from usassist.bus import Publisher
from usassist.calibrate import DEFAULT_POINT, ScoreCalibration, load_geometry, load_score_calibration
from usassist.common.clock import MonotonicClock
from usassist.common.heartbeat import Heartbeat
from usassist.common.process_tuning import keep_freed_memory, usable_cpus
from usassist.config import EngineConfig, in_force, put_in_force
from usassist.engine import FailoverEngine, find_engine
from usassist.errors import UsageError
from usassist.modalities.ultrasound import DescriptorModel
from usassist.pipeline import Controls, Stream
from usassist.records import Result, SourceInfo
from usassist.session import read_followed
from usassist.sources import open_source, parse_crop, parse_scale

__all__ = ["StreamOptions", "new_session_id", "open_stream"]


_MAX_LANES = 4  # frames in flight, where the engine runs on the processor
_SWITCH_S = 0.0005  # a thread with a frame waits at most so long for the interpreter lock
_USUAL_FRAME_BYTES = 2**19  # where a live source does not know its size yet


def new_session_id() -> str:
    """A sortable name: UTC time and six random digits, ``20260314T101500Z-3f9a2c``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Options of a stream.

    Attributes
    ----------
    source : address, see ``usassist.sources``
    bus : address of the bus
    engine, backend, threads, precision : see ``usassist.engine.FailoverEngine.open``
    engines : folder of engines; None = those that ship
    point : operating point of the engine; ``auto`` = ``balanced``, or the engine's own thresholds where its scores are
        not calibrated
    score_folder : of score calibrations; None = the one that ships
    each_frame_alone : leave out the association over frames that the operating point may have
    as_recorded : of a source ``session:FOLDER``: associate the frames that were answered when it was recorded
    fast : answer every frame as fast as possible, instead of keeping the source's own time
    repeat : start again at the end
    count : stop after so many frames; None = all
    crop : ``auto``, ``none`` or ``x1,y1,x2,y2``
    calibration : name or path of a geometry file; None = only what header or ruler state
    scale : ``auto``, ``profile`` or ``none``, see :class:`usassist.sources.SourceOptions`
    max_age_ms : an answer older than this is ``stale`` (not with `fast`)
    deinterlace : of a clip or live input
    deadline_s : minimum deadline of an engine call, after which it is taken to hang
    cache_limit_mb : of the cache folder, MiB; by default as in force where the options are made
    """

    source: str
    bus: str
    engine: str
    backend: str = "auto"
    threads: int = 0
    precision: str = "auto"
    point: str = "auto"
    engines: str | None = None
    score_folder: str | None = None
    each_frame_alone: bool = False
    as_recorded: bool = False
    fast: bool = False
    repeat: bool = False
    count: int | None = None
    crop: str = "auto"
    calibration: str | None = None
    scale: str = "auto"
    max_age_ms: float = 150.0
    deinterlace: bool = False
    deadline_s: float = 1.0
    cache_limit_mb: int = field(default_factory=lambda: in_force().engine.cache_limit_mb)
    session_id: str = field(default_factory=new_session_id)


@contextlib.contextmanager
def open_stream(
    options: StreamOptions,
    *,
    on_open: Callable[[SourceInfo], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
    on_build: Callable[[str, float], None] | None = None,
    controls: Controls | None = None,
    heartbeat: Heartbeat | None = None,
) -> Iterator[Stream]:
    """Open source, engine and publisher, and give a stream that is ready to run; close everything at the end.

    Parameters
    ----------
    options : what to stream
    on_open : called when source and engine are open, before anything is published
    on_result : called after every published result
    controls : carries out requests of viewers; None = they are refused
    on_build : called with stage and share while a plan is built that a named back end needs
    heartbeat : beats at every iteration of the stream's loop

    Raises
    ------
    UsAssistError
        If any part cannot be opened; nothing stays open then.
    """
    clock = MonotonicClock()
    put_in_force(replace(in_force(), engine=EngineConfig(cache_limit_mb=options.cache_limit_mb)))
    with contextlib.ExitStack() as stack:
        geometry = load_geometry(options.calibration) if options.calibration else None
        spec = find_engine(options.engine, Path(options.engines) if options.engines else None)
        scores, point = _choose_point(spec.engine_id, options)
        descriptors = DescriptorModel.load(spec.folder, spec.engine_id)
        recorded = read_followed(Path(options.source.partition(":")[2])) if options.as_recorded else None
        source = stack.enter_context(
            open_source(
                options.source,
                session_id=options.session_id,
                fast=options.fast,
                repeat=options.repeat,
                count=options.count,
                crop=parse_crop(options.crop),
                geometry=geometry,
                clock=clock,
                deinterlace=options.deinterlace,
                scale=parse_scale(options.scale),
            )
        )
        lanes = min(usable_cpus(), _MAX_LANES)
        threads = options.threads or (max(1, usable_cpus() // lanes) if options.fast else 0)
        failover = stack.enter_context(
            FailoverEngine.open(spec, options.backend, threads, options.precision, clock=clock, progress=on_build)
        )
        info = source.info
        if on_open is not None:
            on_open(info)
        height, width = info.image_hw_px
        frame_bytes = height * width * info.channels or _USUAL_FRAME_BYTES
        publisher = Publisher(options.bus, "us0", clock, lossless=options.fast, frame_bytes=frame_bytes)
        stack.callback(publisher.close)
        stream = Stream(
            source,
            failover,
            publisher,
            clock,
            session_id=options.session_id,
            realtime=not options.fast,
            max_age_ms=options.max_age_ms,
            calibration_id=geometry.calibration_id if geometry else None,
            scores=scores,
            point=point,
            descriptors=descriptors,
            each_frame_alone=options.each_frame_alone,
            recorded=None if recorded is None else recorded.frames,
            recorded_t_ns=None if recorded is None else recorded.t_capture_ns,
            on_result=on_result,
            controls=controls,
            lanes=lanes,
            deadline_s=options.deadline_s,
            heartbeat=heartbeat,
        )
        stack.enter_context(_low_jitter())
        yield stream


@contextlib.contextmanager
def _low_jitter() -> Iterator[None]:
    """Keep the interpreter and OpenCV from adding jitter.

    Objects that exist now are exempt from garbage collection, the memory of one frame is reused for the next, and
    OpenCV does not take threads from the engine for steps of a millisecond.
    """
    before_s, before_threads = sys.getswitchinterval(), cv2.getNumThreads()
    sys.setswitchinterval(_SWITCH_S)
    cv2.setNumThreads(1)
    keep_freed_memory()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        cv2.setNumThreads(before_threads)
        sys.setswitchinterval(before_s)


def _choose_point(engine_id: str, options: StreamOptions) -> tuple[ScoreCalibration | None, str]:
    """The engine's score calibration, where it has one, and the name of the operating point."""
    scores = load_score_calibration(engine_id, Path(options.score_folder) if options.score_folder else None)
    point = DEFAULT_POINT if options.point == "auto" else options.point
    if scores is not None:
        scores.point(point)
    elif options.point != "auto":
        raise UsageError(f"no operating point {point}: scores of {engine_id} are not calibrated; leave the point out")
    return scores, point
