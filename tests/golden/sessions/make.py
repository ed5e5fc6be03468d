"""Make the reference sessions: ``python -m tests.golden.sessions.make [--again] [NAME …]``.

Each is a short stream of the simulated scanner, answered by the shipped engine in FP32 and recorded as any stream is.
``session.toml`` says with which commit, versions and kind of processor. A session that is there is written over with
``--again`` alone, which says how the new answers differ from those before: only when an answer or the form of a
recording is meant to change, never to make a test pass.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from usassist.app.rerun.compare import compare_sessions
from usassist.app.rerun.machine import why_within_tolerances
from usassist.app.rerun.plan import make_rules
from usassist.app.rerun.recording import Recording, read_recording
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.recording_facts import recording_facts
from usassist.bus import Publisher
from usassist.calibrate import DEFAULT_POINT, load_score_calibration
from usassist.common.clock import MonotonicClock
from usassist.common.closeable import Closeable
from usassist.engine import FailoverEngine, find_engine
from usassist.modalities.ultrasound import DescriptorModel
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.phantom.config import NodulePlan
from usassist.pipeline import Stream
from usassist.records import Frame, Signal, SignalState, SourceInfo
from usassist.sinks.record import Recorder

__all__ = ["SESSIONS", "make_again", "make_session"]

HERE = Path(__file__).parent
ENGINE, BACKEND, PRECISION = "thyroid_nodule", "openvino", "fp32"  # the version that ships
SPACING_REL_SD = 0.001
PERIOD_NS = 33_333_333

# Small pictures of little noise, so that a session stays below a megabyte.
SMALL = replace(
    PhantomConfig.demo(),
    screen_hw_px=(240, 320),
    scan_hw_px=(200, 200),
    layout="bare",
    dynamic_range_db=50.0,
    smoothing_px=1.0,
    looks=4,
)
SECOND_NODULE = NodulePlan(
    kind="cystic", center_xze_mm=(-6.0, 22.0, -10.0), axes_xze_mm=(7.0, 6.0, 12.0), margin_mm=0.2
)


def sweep() -> Iterator[Frame]:
    """A calibrated sweep into a nodule and out of it, in grey: findings, and frames without."""
    for number in range(36):
        yield _scan(PhantomScanner(SMALL), number, 0.6 + 0.12 * number)


def interrupted() -> Iterator[Frame]:
    """As of a live scanner: stamps of grabbing, a frozen picture, a gap where the signal was lost, colour Doppler."""
    scanner = PhantomScanner(SMALL)
    number = 0
    for step in range(34):
        number += 6 if step == 20 else 1  # the signal was lost for five frames
        frame = _scan(scanner, number - 1, 1.8 + 0.03 * step)
        if 10 <= step < 16:
            frame = replace(
                frame,
                image=_scan(scanner, 0, 1.8 + 0.03 * 10).image,
                picture=SignalState.FROZEN,
                picture_reason="the scanner is frozen",
            )
        elif step >= 30:
            frame = replace(
                frame,
                image=_with_colour(frame.image),
                picture=SignalState.NOT_B_MODE,
                picture_reason="the picture has colour in it",
            )
        t_ns = frame.t_capture_ns
        yield replace(
            frame, t_decoded_ns=t_ns + 4_000_000, t_cropped_ns=t_ns + 5_500_000, spacing_rc_mm=None, spacing_rel_sd=None
        )


def changing() -> Iterator[Frame]:
    """Two nodules on pictures that change their size, and turn to colour; text is burnt into the last ones."""
    scene = replace(SMALL, nodules=(*(SMALL.nodules or ()), SECOND_NODULE))
    first, second = PhantomScanner(scene), PhantomScanner(replace(scene, scan_hw_px=(180, 160), depth_mm=45.0))
    for number in range(32):
        frame = _scan(first if number < 14 else second, number, 2.0 + 0.05 * number)
        if 22 <= number < 26:
            frame = replace(frame, image=_with_tint(frame.image))
        elif number >= 26:
            image = frame.image.copy()
            cv2.putText(image, "LEFT LOBE 2", (12, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
            frame = replace(frame, image=image, text_xyxy_px=((10, 8, 100, 24),))
        yield frame


SESSIONS: dict[str, Callable[[], Iterator[Frame]]] = {"sweep": sweep, "interrupted": interrupted, "changing": changing}


class _Prepared(Closeable):
    """Frames that are there already, as a source."""

    signal: Signal | None = None
    decode_errors = 0

    def __init__(self, description: str, frames: list[Frame], clock: MonotonicClock) -> None:
        first = frames[0]
        _, _, x2, y2 = first.roi_xyxy_px
        self._clock, self._frames = clock, frames
        self.info = SourceInfo(
            description=description,
            image_hw_px=first.image_hw_px,
            channels=3,
            rate_hz=30.0,
            frame_count=len(frames),
            roi_xyxy_px=first.roi_xyxy_px,
            grab_hw_px=(y2, x2),
        )

    def frames(self) -> Iterator[Frame]:
        begun_ns = self._clock.now_ns()
        for number, frame in enumerate(self._frames):
            # At an even rate: text is looked for in groups of half a second, and a frozen frame looks like text.
            time.sleep(max(0.0, number / 60.0 - (self._clock.now_ns() - begun_ns) / 1e9))
            before_ns = (frame.t_cropped_ns or frame.t_capture_ns) - frame.t_capture_ns
            now_ns = self._clock.now_ns()
            shift_ns = now_ns - before_ns - frame.t_capture_ns
            yield replace(
                frame,
                t_capture_ns=frame.t_capture_ns + shift_ns,
                t_decoded_ns=None if frame.t_decoded_ns is None else frame.t_decoded_ns + shift_ns,
                t_cropped_ns=None if frame.t_cropped_ns is None else frame.t_cropped_ns + shift_ns,
            )

    def close(self) -> None: ...


def make_session(name: str, folder: Path) -> None:
    """Record one session into a new folder."""
    frames = list(SESSIONS[name]())
    frames = [replace(frame, session_id=f"reference-{name}") for frame in frames]
    options = StreamOptions(
        source="phantom:seed=31",
        bus="",
        engine=ENGINE,
        backend=BACKEND,
        precision=PRECISION,
        fast=True,
        count=len(frames),
    )
    clock, spec = MonotonicClock(), find_engine(ENGINE)
    descriptors = DescriptorModel.load(spec.folder, spec.engine_id)  # what can fail comes before the recorder
    with ExitStack() as stack:
        address = f"ipc://{stack.enter_context(tempfile.TemporaryDirectory(prefix='usa'))}"
        failover = stack.enter_context(FailoverEngine.open(spec, BACKEND, 0, PRECISION, clock=clock))
        publisher = Publisher(address, "us0", clock, lossless=True, frame_bytes=frames[0].image.nbytes)
        stack.callback(publisher.close)
        facts = recording_facts(options)
        facts["configuration"]["command"] = f"python -m tests.golden.sessions.make {name}"
        recorder = Recorder(address, folder, lambda: False, facts=facts)
        writer = threading.Thread(target=recorder.run)
        writer.start()
        assert publisher.wait_for_archives(1, 10.0, writer.is_alive)
        stream = Stream(
            _Prepared(f"simulated scanner, {name}", frames, clock),
            failover,
            publisher,
            clock,
            session_id=f"reference-{name}",
            realtime=False,
            max_age_ms=options.max_age_ms,
            scores=load_score_calibration(spec.engine_id),
            point=DEFAULT_POINT,
            descriptors=descriptors,
        )
        stream.run(threading.Event())
        writer.join(30.0)


def make_again(name: str, folder: Path) -> str:
    """Record one session in place of the one that is there; it is left as it is where that fails.

    Returns
    -------
    words : how the answers differ from those before
    """
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder.parent) as beside:
        new = Path(beside) / name
        make_session(name, new)
        words = _against(read_recording(folder), read_recording(new)) if folder.exists() else "new"
        if folder.exists():
            folder.rename(Path(beside) / "before")
        new.rename(folder)
    return words


def _against(before: Recording, after: Recording) -> str:
    """The answers of a recording against those of one before, as ``rerun --diff`` compares them."""
    rules = make_rules(find_engine(ENGINE), before.engines[-1], [BACKEND])
    why = why_within_tolerances(before.session.manifest, after.session.manifest)
    comparison = compare_sessions(before.side, after.side, *rules, same_machine=not why)
    faults = [*comparison.faults, *(f"frame {item.frame_id}: {item.description}" for item in comparison.differences)]
    if faults:
        return f"OTHER ANSWERS in {len(faults)} frames: {'; '.join(faults)}"
    ids = [recording.engines[-1].engine_id for recording in (before, after)]
    if ids[0] != ids[1]:
        why = f"{ids[0]} then, {ids[1]} now"
    return "identical answers" if comparison.identical else f"answers within tolerance ({why})"


def _scan(scanner: PhantomScanner, number: int, t_s: float) -> Frame:
    """The scan area of the phantom's screen at a moment of its sweep."""
    shown = scanner.render(t_s)
    x1, y1, x2, y2 = scanner.scan_xyxy_px
    return Frame(
        session_id="reference",
        source_id="us0",
        frame_id=number,
        t_capture_ns=1_000_000_000 + number * PERIOD_NS,
        image=np.ascontiguousarray(shown.screen[y1:y2, x1:x2]),
        roi_xyxy_px=scanner.scan_xyxy_px,
        spacing_rc_mm=shown.spacing_rc_mm,
        spacing_rel_sd=SPACING_REL_SD,
    )


def _with_colour(image: np.ndarray) -> np.ndarray:
    """A patch of red and blue, as colour Doppler draws it."""
    tinted = image.copy()
    tinted[70:110, 60:90, 1:] = 0
    tinted[80:120, 95:120, :2] = 0
    return tinted


def _with_tint(image: np.ndarray) -> np.ndarray:
    """The whole picture in a warm tone, as scanners offer it."""
    return np.stack([image[..., 0], image[..., 1] - image[..., 1] // 16, image[..., 2] - image[..., 2] // 8], axis=-1)


def main(arguments: list[str]) -> None:
    """Make the sessions that are not there yet, or with ``--again`` those that are."""
    names = [name for name in arguments if name != "--again"] or list(SESSIONS)
    unknown = [name for name in names if name not in SESSIONS]
    if unknown:
        sys.exit(f"no reference session {unknown[0]}; known: {', '.join(SESSIONS)}")
    for name in names:
        if "--again" in arguments:
            print(f"{name}: {make_again(name, HERE / name)}")  # noqa: T201
        elif not (HERE / name).exists():
            make_session(name, HERE / name)


if __name__ == "__main__":
    main(sys.argv[1:])
