"""What following a whole sweep costs a panel: per result, per frame that is shown, and in memory.

    python -m tools.panel_cost

Results of 60 frames a second with one nodule that is another one every ten seconds, as they come over the bus. Two of
three frames have a finding. `not watched` is with the decoding that nobody else does while no page is connected.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import typer

from usassist.bus import Message, decode, result_from
from usassist.bus.codec import encode_result
from usassist.frames.measure import measure
from usassist.records import Detections, Frame, Result, ResultState, Segmentation
from usassist.sinks.panel.sweep import ShownFrame, SweepLog
from usassist.sinks.panel.system import SystemLog

_PERIOD_NS = 16_666_667
_HW_PX = (720, 1280)
_FRAMES = 6000
_SHOWN = 600


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the session whose memory is measured")
    options = parser.parse_args()
    for watched in (True, False):
        sweep, system = SweepLog(), SystemLog()
        messages = [_message(number, decoded=watched) for number in range(_FRAMES)]
        took = [_cpu_us(add, messages) for add in (sweep.add, system.add)]
        typer.echo(
            f"{'watched' if watched else 'not watched'}: sweep {took[0]:.1f} us, system {took[1]:.1f} us per result"
        )
    image = np.random.default_rng(1).integers(0, 256, _HW_PX, np.uint8)
    times = []
    for number in range(_SHOWN):
        result = _result(number)
        sweep.add(_message(number, decoded=True))
        shown = ShownFrame(
            frame=Frame(
                session_id=result.session_id,
                source_id="us0",
                frame_id=number,
                t_capture_ns=result.t_capture_ns,
                image=image,
                roi_xyxy_px=(0, 0, _HW_PX[1], _HW_PX[0]),
            ),
            result=result,
            draw=result.state is ResultState.FINDING,
            packet=bytes(150_000),
            t_ns=result.t_capture_ns,
        )
        began = time.thread_time_ns()
        sweep.show(shown)
        times.append((time.thread_time_ns() - began) / 1e3)
    typer.echo(f"shown frame: mean {statistics.fmean(times):.0f} us, median {statistics.median(times):.0f} us")
    tracemalloc.start()
    sweep, system = SweepLog(), SystemLog()
    for number in range(round(options.minutes * 3600)):
        message = _message(number, decoded=False)
        sweep.add(message)
        system.add(message)
    del message
    typer.echo(
        f"{options.minutes:g} minutes at 60 Hz: {tracemalloc.get_traced_memory()[0] / 1e6:.1f} MB without pictures"
    )


def _cpu_us(add: Callable[[Message], None], messages: list[Message]) -> float:
    began = time.thread_time_ns()
    for message in messages:
        add(message)
    return (time.thread_time_ns() - began) / 1e3 / len(messages)


def _message(number: int, *, decoded: bool) -> Message:
    result = _result(number)
    message = decode(bytes(encode_result(result, number, result.t_capture_ns + 15_000_000)))
    if decoded:
        result_from(message)
    return message


_ANGLE = np.linspace(0, 2 * np.pi, 60, endpoint=False)
_CONTOUR = np.stack([640 + 120 * np.cos(_ANGLE), 300 + 70 * np.sin(_ANGLE)], axis=1).astype(np.float32)
_OUTLINES = Segmentation.of([_CONTOUR])
_SIZES = measure(_OUTLINES, (0.1, 0.1), 0.01, 0.05, np.zeros(1, np.uint8))
_BOX = np.array([[*_CONTOUR.min(axis=0), *_CONTOUR.max(axis=0)]], np.float32)


def _result(number: int) -> Result:
    found = number % 3 != 0
    content = {}
    if found:
        content = {
            "detections": Detections(
                xyxy_px=_BOX,
                score=np.array([0.9], np.float32),
                label_id=np.zeros(1, np.int32),
                track_id=np.array([1 + number // 600], np.int32),
            ),
            "segmentation": _OUTLINES,
            "measurements": _SIZES,
        }
    return Result(
        session_id="cost",
        source_id="us0",
        frame_id=number,
        t_capture_ns=number * _PERIOD_NS,
        t_infer_start_ns=1,
        t_infer_end_ns=2,
        engine_id="engine@1+0",
        backend="none",
        calibration_id=None,
        image_hw_px=_HW_PX,
        frames_dropped=0,
        state=ResultState.FINDING if found else ResultState.NO_FINDING,
        follows_frame_id=number - 1 if number else None,
        **content,  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    main()
