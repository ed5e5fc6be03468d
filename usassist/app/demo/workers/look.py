"""Child process: open a file and say what it holds, before anything of it is answered."""

from __future__ import annotations

from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.sources import open_source

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Size, rate and number of frames of ``options["source"]``, of which at most a few frames are decoded."""
    parent.report("ready")
    source = open_source(options["source"], session_id="look", fast=True, crop="none", scale="profile")
    try:
        info = source.info
        return {
            "grab_hw_px": list(info.grab_hw_px or info.image_hw_px),
            "rate_hz": info.rate_hz,
            "frames": info.frame_count or info.frame_count_estimate,
        }
    finally:
        source.close()
