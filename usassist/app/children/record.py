"""Child process: record a stream into a session folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usassist.app.worker import Parent
from usassist.config import RecordConfig
from usassist.sinks.record import Recorder
from usassist.usage import lower_priority

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Record ``options["address"]`` into ``options["folder"]``.

    ``options`` may also have ``facts``, see ``sinks/manifest.py``, and ``reserve_mb``, the room to leave on the disk.
    """
    recorder = Recorder(
        options["address"],
        Path(options["folder"]),
        parent.gone.is_set,
        facts=options.get("facts"),
        reserve_bytes=options.get("reserve_mb", RecordConfig().reserve_mb) * 2**20,
    )
    recorder.subscriber.heartbeat = parent.heartbeat
    parent.tell("ready")
    lower_priority(5)  # this thread and the encoder's, and not the one that takes the messages in
    recorder.run()
    return {
        "frames": recorder.notes.frames,
        "results": recorder.notes.results,
        "marks": recorder.notes.marks,
        "bytes": recorder.recorded_bytes,
        "gaps": recorder.subscriber.gaps,
    }
