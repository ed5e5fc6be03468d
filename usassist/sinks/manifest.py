"""``session.toml``: what a recording is, and with what it was made. Written here, read by ``usassist.session``.

Its keys, in version 2.2::

    schema = [2, 2]
    session_id = "20260314T101500Z-3f9a2c"
    complete = true                     # closed in order, and every frame has its result
    state = "ended"                     # of the stream: waiting, running, ended, interrupted, failed
    recording = "closed"                # of the recording: running, closed, or one line saying why it stopped
    begun_on_request = true             # since 2.2: it begins in the middle of the stream, as somebody asked for
    ended_on_request = true             # since 2.2: it ends while the stream goes on, likewise
    created_utc = "..."
    frames = 100                        # recorded; likewise results and marks
    longest_unsynced_ms = 210.0         # the longest time for which something was written and not yet synced
    [gaps]                              # topic = messages that never arrived
    [[clock]]                           # the same instant on both clocks: event "begin", "jump", "end"
    [source]                            # from the session message; no path, no text of a patient
    [configuration]                     # the options that it was started with, resolved
    [[engines]]                         # each engine, back end and (since 2.1) precision that answered, or would have
    [engines.artifacts]                 # file of the engine = SHA-256
    [[calibrations]]                    # id, kind, SHA-256 and content of each calibration file that was used
    [versions]                          # of what ran
    [machine]                           # kernel, and since 2.1 the kind of processor: see ``usassist.common.processor``
    [files."frames.nut"]                # bytes and SHA-256 of every file, written when it is closed in order

What the bus does not carry comes as *facts* from whatever started the recorder: ``configuration``, ``artifacts`` and
``devices`` of the engine, ``calibrations``, ``versions`` and ``machine``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tomlkit
from tomlkit.items import String

from usassist.bus import EngineBody, SessionBody
from usassist.common.clock import ClockPair

__all__ = [
    "SESSION_SCHEMA",
    "calibration_tables",
    "clock_table",
    "dump_manifest",
    "engine_table",
    "id_ranges",
    "is_unchanged",
    "source_table",
]

SESSION_SCHEMA = (2, 2)
_SUM = b"# sha256 of the lines above: "


def dump_manifest(document: Mapping[str, Any]) -> bytes:
    """The bytes of ``session.toml``. What is None is left out; texts of several lines are written as such.

    The last line is a comment with the SHA-256 of everything above it.
    """
    content = tomlkit.dumps(_plain(document)).encode("utf-8")
    return content + _SUM + hashlib.sha256(content).hexdigest().encode("ascii") + b"\n"


def is_unchanged(content: bytes) -> bool:
    """False where the bytes of ``session.toml`` are not those that were written. Versions before 2.0 had no sum."""
    above, mark, digest = content.rpartition(_SUM)
    return bool(mark) and hashlib.sha256(above).hexdigest().encode("ascii") == digest.strip()


def clock_table(event: str, pair: ClockPair) -> dict[str, Any]:
    """One reading of both clocks."""
    return {"event": event, "t_monotonic_ns": pair.t_monotonic_ns, "utc": pair.utc}


def source_table(session: SessionBody) -> dict[str, Any]:
    """The source, from the session message."""
    return {
        "description": session.source,
        "image_hw_px": list(session.image_hw_px),
        "realtime": session.realtime,
        "rate_hz": session.rate_hz,
        "reason": session.reason or None,
    }


def engine_table(body: EngineBody, facts: Mapping[str, Any]) -> dict[str, Any]:
    """An engine and the back end that it ran on; artifacts and device where they are known.

    ``answered_by`` names the artifacts that the answers rest on: the weights in the precision of the back end, and
    everything that is not weights.
    """
    known = facts.get("engine", {})
    mine = known if known.get("engine_id") == body.engine_id else {}
    artifacts: dict[str, str] = mine.get("artifacts", {})
    precision = next((name for name in ("int8", "fp16") if body.backend.endswith(f"-{name}")), "fp32")
    weights = "onnx_int8" if precision == "int8" else "onnx"
    table: dict[str, Any] = {
        "engine_id": body.engine_id,
        "backend": body.backend,
        "precision": None if body.backend in ("null", "none") else precision,
        "device": mine.get("devices", {}).get(body.backend.removesuffix(f"-{precision}")),
        "intended_use": body.intended_use,
    }
    if body.point is not None and body.score_calibration_id is not None:  # else scores are raw
        table |= {"point": body.point.name, "score_calibration_id": body.score_calibration_id}
    if artifacts and body.backend not in ("null", "none"):
        others = ("onnx", "onnx_int8")
        table["answered_by"] = sorted(name for name in artifacts if name == weights or name not in others)
        table["artifacts"] = dict(artifacts)
    return table


def calibration_tables(used: Iterable[str], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every calibration that frames name, and every one among the facts, once each.

    The kind of a scale that was read or set while streaming is ``scale``: there is no file of it.
    """
    handed = [dict(item) for item in facts.get("calibrations", ())]
    known = {item["calibration_id"] for item in handed}
    return handed + [
        {"calibration_id": name, "kind": "scale" if name.startswith("scale_by_") else "geometry"}
        for name in sorted(set(used) - known)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _text(value) if isinstance(value, str) and "\n" in value else value


def _text(value: str) -> String | str:
    """As several lines, where that gives back the same text."""
    if "\r" in value or '"""' in value or "\\" in value or value.endswith('"'):
        return value
    return tomlkit.string("\n" + value, multiline=True)  # a line feed right behind the quotes is not part of the text


def id_ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges of consecutive numbers in ascending ones: the first and the last of each."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], numbers[index - 1]
            start = index
