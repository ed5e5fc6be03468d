"""A summary of a recorded session."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from usassist.session.opening import RecordedSession
from usassist.sinks.disk_sync import wall_clock_ahead_s

__all__ = ["clock_jumps", "describe"]

_MIN_S = 0.05  # two readings of the clocks agree to within a few ms; what is more was set, or slept through


def describe(session: RecordedSession) -> dict[str, Any]:
    """Everything that is known without decoding images or messages, ready for JSON."""
    manifest = session.manifest
    sizes = {path.name: path.stat().st_size for path in sorted(session.folder.iterdir()) if path.is_file()}
    return {
        "folder": str(session.folder),
        "schema": list(manifest.schema),
        "session_id": manifest.session_id,
        "created_utc": manifest.created_utc,
        "complete": manifest.complete,
        "state": manifest.state,
        "recording": manifest.recording,
        "duration_s": round(session.duration_s, 3),
        "frames": len(session.frames),
        "results": len(session.results),
        "results_by_state": dict(Counter(item.state for item in session.results)),
        "no_answer_by_cause": dict(Counter(item.cause for item in session.results if item.cause)),
        "pictures_not_live": dict(Counter(str(line.picture) for line in session.frames if line.picture != "live")),
        "marks": dict(Counter(item.kind for item in session.marks)),
        "gaps": [str(gap) for gap in session.gaps],
        "messages_lost": sum(manifest.gaps.values()),
        "source": manifest.source,
        "configuration": manifest.configuration,
        "engines": [{key: value for key, value in item.items() if key != "intended_use"} for item in manifest.engines],
        "calibrations": [
            {key: value for key, value in item.items() if key != "content"} for item in manifest.calibrations
        ],
        "versions": manifest.versions,
        "machine": manifest.machine,
        "bytes": sum(sizes.values()),
        "files": sizes,
        "longest_unsynced_ms": manifest.longest_unsynced_ms,
        "clock_jumps": clock_jumps(session),
        "cut_from": manifest.cut_from,
        "repaired": list(manifest.repaired),
        "problems": list(session.problems),
    }


def clock_jumps(session: RecordedSession) -> list[dict[str, Any]]:
    """Jumps of the wall clock against the monotonic clock: the gain, and when it was seen."""
    readings = session.manifest.clock
    return [
        {"seen_utc": after.utc, "gained_s": round(gained_s, 3)}
        for before, after in itertools.pairwise(readings)
        if abs(gained_s := wall_clock_ahead_s(before.pair, after.pair)) > _MIN_S
    ]
