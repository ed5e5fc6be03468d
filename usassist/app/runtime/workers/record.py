"""Child process: record a stream into a session folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from usassist.app.runtime.worker import Parent
from usassist.common.process_tuning import lower_priority
from usassist.config import RecordConfig
from usassist.frames.burnt_text import find_text_boxes
from usassist.sinks.record import Recorder
from usassist.sinks.video import LOSSLESS

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Record ``options["address"]`` into ``options["folder"]``.

    ``options`` may also have ``facts``, see ``sinks/manifest.py``, ``record``, the settings of that table, and
    ``on_request``, see ``Recorder``. A message ``{"finish": true}`` from the parent closes the recording.
    """
    settings = RecordConfig(**options.get("record", {}))
    cv2.setNumThreads(1)
    recorder = Recorder(
        options["address"],
        Path(options["folder"]),
        parent.stop.is_set,
        facts=options.get("facts"),
        coding=LOSSLESS[settings.codec],
        find_text=find_text_boxes if settings.cover_text else None,
        reserve_bytes=settings.reserve_mb * 2**20,
        on_request=options.get("on_request", False),
        finish=lambda: not parent.messages.empty(),  # there is no other message
        on_received=lambda: parent.report("received"),
    )
    recorder.subscriber.heartbeat = parent.heartbeat
    parent.report("ready")
    lower_priority(5)  # this thread, the encoder's and the text finder's; not the receiver's
    recorder.run()
    return {
        "frames": recorder.progress.frames,
        "results": recorder.progress.results,
        "marks": recorder.progress.marks,
        "bytes": recorder.recorded_bytes,
        "gaps": recorder.subscriber.gaps,
    }
