"""Child process: write the overlay of a stream into a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.frames.burnt_text import find_text_boxes
from usassist.sinks.overlay.video import OverlayVideo

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Draw ``options["address"]`` into ``options["path"]``; burnt-in text is covered unless ``cover_text`` is false."""
    find_text = find_text_boxes if options.get("cover_text", True) else None
    overlay = OverlayVideo(options["address"], Path(options["path"]), parent.stop.is_set, find_text=find_text)
    overlay.subscriber.heartbeat = parent.heartbeat
    parent.report("ready")
    overlay.run()
    return {"frames": overlay.frames, "gaps": overlay.subscriber.gaps}
