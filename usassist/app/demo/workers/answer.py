"""Child process: a clip through the live path into a session folder, then the packets of the player and the summary."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import cv2
import msgspec

from usassist.app.demo.packets import SUMMARY, write_packets
from usassist.app.runtime.clip_session import replay
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.worker import Parent
from usassist.common.process_tuning import lower_process_priority
from usassist.config import RecordConfig
from usassist.errors import SessionError
from usassist.records import SourceInfo
from usassist.session import open_session
from usassist.session.summary import LEAST_FRAMES, summarise

__all__ = ["work"]

_NICENESS = 5  # below the page, so that it goes on to play


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Answer ``options["stream"]``, fields of ``StreamOptions``, into ``options["folder"]``.

    ``options`` also has ``record``, the settings of that table, and ``jpeg_quality``.
    """
    folder = Path(options["folder"])
    lower_process_priority(_NICENESS)  # also of the processes that are started from here
    cv2.setNumThreads(1)
    parent.report("ready")
    threading.Thread(target=_pass_on_stop, args=(parent.stop,), daemon=True).start()
    session_folder = folder / "session"
    try:
        outcome = replay(
            StreamOptions(**options["stream"]),
            session_folder,
            overlay_video=False,
            window=None,
            progress=_Reports(parent),
            record=RecordConfig(**options["record"]),
        )
    except KeyboardInterrupt:
        raise SessionError("it was stopped") from None
    if outcome.error is not None:
        raise SessionError(outcome.error)
    if outcome.exit_code:
        raise SessionError("it was stopped")
    parent.report("summing_up")
    session = open_session(session_folder)
    overview = write_packets(session, folder, options["jpeg_quality"])
    parent.heartbeat.beat()
    document = summarise(session, least_frames=min(LEAST_FRAMES, len(overview.frames)))
    (folder / SUMMARY).write_bytes(msgspec.json.encode(document))
    return {"frames": len(overview.frames)}


class _Reports:
    """Passes the progress on to the parent."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def building(self, stage: str, share: float) -> None:
        self._parent.report("building", stage=stage, share=share)

    def opened(self, info: SourceInfo) -> None:
        self._parent.report("opened", frames=info.frame_count or info.frame_count_estimate)

    def answered(self, results: int, findings: int) -> None:
        self._parent.report("answered", results=results)


def _pass_on_stop(stop: threading.Event) -> None:
    """The replay stops on a signal; the page asks by closing our standard input, also when it dies."""
    stop.wait()
    os.kill(os.getpid(), signal.SIGTERM)
