"""Sessions for tests: recorded from a real bus by the real recorder, in a thread."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.samples import ENGINE, SESSION, make_result
from usassist.bus import MarkBody, MarkKind, Publisher, SessionState
from usassist.common.clock import MonotonicClock
from usassist.records import Frame
from usassist.sinks.record import Recorder

FACTS: Mapping[str, Any] = {
    "configuration": {"source": "test", "backend": "openvino", "threads": 1, "realtime": False},
    "engine": {
        "engine_id": ENGINE.engine_id,
        "artifacts": {"onnx": "a" * 64, "onnx_int8": "b" * 64, "engine.toml": "c" * 64},
        "devices": {"openvino": "cpu"},
    },
    "calibrations": [],
    "versions": {"usassist": "0.1.0", "python": "3.11"},
    "machine": {"system": "Linux", "kernel": "6", "cpu": "2 x test"},
}


def record_session(
    folder: Path,
    frames: Sequence[Frame],
    *,
    without_results: Sequence[int] = (),
    marks: Sequence[int] = (),
    facts: Mapping[str, Any] = FACTS,
    state: SessionState = SessionState.ENDED,
    **options: Any,
) -> None:
    """Record frames, a result of each but `without_results`, and bookmarks of some; `options` are of the recorder."""
    with tempfile.TemporaryDirectory(prefix="usa") as bus:
        address = f"ipc://{bus}"
        publisher = Publisher(address, "us0", MonotonicClock(), lossless=True)
        recorder = Recorder(address, folder, lambda: False, facts=facts, **options)
        thread = threading.Thread(target=recorder.run)
        thread.start()
        assert publisher.wait_for_archives(1, 10, lambda: True)
        publisher.event("engine", ENGINE)
        publisher.event("session", msgspec.structs.replace(SESSION, realtime=False))
        for frame in frames:
            publisher.frame(frame)
            if frame.frame_id not in without_results:
                publisher.result(make_result(frame.frame_id, hw=frame.image_hw_px))
            if frame.frame_id in marks:
                mark = MarkBody(
                    session_id=frame.session_id, frame_id=frame.frame_id, kind=MarkKind.BOOKMARK, t_mark_ns=7
                )
                publisher.event("mark", mark)
        last = frames[-1].frame_id if frames else -1
        publisher.event("session", msgspec.structs.replace(SESSION, state=state, last_frame_id=last, realtime=False))
        thread.join(30)
        assert not thread.is_alive()
        publisher.close()
