"""Compares a recording with a rerun of it, frame by frame: what is compared, left out, or missing.

Only frames that the engine has answered, or on which it abstained, can be compared: one that was dropped, too late or
interrupted has no answer in the recording, and is counted and left out. A frame that was not live must be not live
again. Where the recorder covered text, the engine saw other pixels than the recording holds: such frames are compared,
but listed apart, and they do not count. Where findings are associated over frames, the same holds for frames whose
answer depends on such a frame, or on one that is not in the recording. For how long track ids depend on one, and how
they are compared afterwards: ``rerun.identities``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from usassist.app.rerun.fields import FieldDifference, FieldVerdict, Rules, compare_fields
from usassist.app.rerun.identities import IdentityComparison
from usassist.app.rerun.outcome import Comparison, FrameDifference, Side, describe_amount
from usassist.records import Cause, Result, ResultState

__all__ = ["compare_sessions"]

_OF_THE_FRAME = (Cause.NOT_LIVE, Cause.DAMAGED)  # recorded with the frame itself


def compare_sessions(
    recorded: Side,
    again: Side,
    exact: Rules,
    tolerant: Rules,
    *,
    same_machine: bool,
    memory_frames: int = 0,
    identities: IdentityComparison | None = None,
) -> Comparison:
    """Compare every result of a recording with that of the same frame of a rerun.

    Parameters
    ----------
    recorded, again : the recording, and the rerun of its frames
    exact, tolerant : rules for two results of the same engine and back end, and for others
    same_machine : False where even the same back end may round differently; all is compared within tolerances then
    memory_frames : of the association over frames: so many answers in a row without a difference, of the same frames,
        leave both sides with the same memory; 0 = each frame was answered alone
    identities : how track ids are compared; None = they must be the same
    """
    identities = IdentityComparison() if identities is None else identities
    outcome = Comparison()
    before, after = _by_frame(recorded, outcome, "the recording"), _by_frame(again, outcome, "the rerun")
    _find_missing(recorded, again, before, after, outcome)
    lost = sorted(_answered(before) - set(recorded.frame_ids), reverse=True)
    apart = 0  # so many more answers must agree until both sides remember the same
    for frame_id in recorded.frame_ids:
        old, new = before.get(frame_id), after.get(frame_id)
        while lost and lost[-1] < frame_id:
            lost.pop()
            identities.part()
        if old is None or new is None:
            identities.part()
            continue
        if not (old.is_verdict or old.cause in _OF_THE_FRAME):
            outcome.left_out[str(old.cause)] += 1
            if old.cause is Cause.LATE and apart:  # it is remembered, and not compared
                apart = memory_frames
            continue
        outcome.not_live += old.cause in _OF_THE_FRAME
        must_equal = same_machine and (old.engine_id, old.backend) == (new.engine_id, new.backend)
        covered = frame_id in recorded.covered
        if old.follows_frame_id is None and new.follows_frame_id is None:
            apart = 0
        elif old.follows_frame_id != new.follows_frame_id:
            apart = memory_frames
        # That there is an answer at all never depends on the frames before.
        unsettled = apart > 0 and not covered and old.state.is_answer and new.state.is_answer
        if covered or unsettled:
            identities.part()
        fields = compare_fields(*identities.align(old, new), exact if must_equal else tolerant)
        differs = any(field.verdict is FieldVerdict.DIFFERS for field in fields.values())
        apart = memory_frames if covered or (apart and differs) else max(apart - 1, 0)
        if unsettled:
            outcome.unsettled_frames += 1
            outcome.unsettled_differences += [_describe(old, new, fields)] * differs
            continue
        outcome.covered_frames += covered
        outcome.exact += must_equal and not covered
        outcome.tolerant += not must_equal and not covered
        for name, field in fields.items():
            (outcome.covered if covered else outcome.fields)[name].add(frame_id, field)
        if differs:
            found = outcome.covered_differences if covered else outcome.differences
            found.append(_describe(old, new, fields))
    for found in (outcome.differences, outcome.covered_differences):
        found.sort(key=lambda item: (tuple(-part for part in item.weight), item.frame_id))
    if not outcome.compared + outcome.covered_frames + outcome.unsettled_frames:
        outcome.faults.append("no frame has an answer in both, so there is nothing to compare")
    return outcome


def _by_frame(side: Side, outcome: Comparison, name: str) -> dict[int, Result]:
    """The result of each frame; two results of one frame are a fault."""
    results: dict[int, Result] = {}
    for result in side.results:
        if result.frame_id in results:
            outcome.faults.append(f"frame {result.frame_id} has two results in {name}")
        results.setdefault(result.frame_id, result)
    return results


def _answered(results: Mapping[int, Result]) -> set[int]:
    """Frames on which findings were remembered."""
    return {number for number, result in results.items() if result.state.is_answer or result.cause is Cause.LATE}


def _find_missing(
    recorded: Side, again: Side, before: Mapping[int, Result], after: Mapping[int, Result], outcome: Comparison
) -> None:
    frames, frames_again = set(recorded.frame_ids), set(again.frame_ids)
    unanswered = [frame_id for frame_id in recorded.frame_ids if frame_id not in before]
    accounted = recorded.gaps.get("result", 0) + (len(_tail(recorded, before)) if recorded.broken_off else 0)
    _report_missing(outcome, unanswered, accounted, "no result in the recording")
    accounted = recorded.gaps.get("frame", 0) + (len(before.keys() - frames) if recorded.broken_off else 0)
    _report_missing(outcome, sorted(before.keys() - frames), accounted, "a result in the recording, but no frame")
    for ids, text in (
        (frames - frames_again, "in the recording and not in the rerun"),
        (frames_again - frames, "in the rerun and not in the recording"),
        ((frames & frames_again) - after.keys(), "without a result in the rerun"),
        (after.keys() - frames_again, "without a frame in the rerun, but with a result"),
    ):
        if ids:
            outcome.faults.append(f"{_frames(sorted(ids))} {text}")


def _tail(side: Side, results: Mapping[int, Result]) -> list[int]:
    """Frames at the end, after the last one that has a result."""
    last = max((frame_id for frame_id in side.frame_ids if frame_id in results), default=-1)
    return [frame_id for frame_id in side.frame_ids if frame_id > last]


def _report_missing(outcome: Comparison, ids: list[int], accounted: int, text: str) -> None:
    """Frames that the recording itself counts as missing are listed; others are a fault."""
    if ids:
        (outcome.missing if len(ids) <= accounted else outcome.faults).append(f"{_frames(ids)} with {text}")


def _frames(ids: Iterable[int]) -> str:
    """``frame 7``, or ``3 frames (7, 8, 9)`` with the first few by name."""
    ids = list(ids)
    names = ", ".join(map(str, ids[:5])) + (", …" if len(ids) > 5 else "")
    return f"frame {names}" if len(ids) == 1 else f"{len(ids)} frames ({names})"


def _describe(recorded: Result, again: Result, fields: Mapping[str, FieldDifference]) -> FrameDifference:
    differing = {name: apart for name, apart in fields.items() if apart.verdict is FieldVerdict.DIFFERS}
    parts = []
    if recorded.state is not again.state:
        parts.append(f"{_state(recorded)} became {_state(again)}")
    elif "findings" in differing:
        parts.append(f"{len(recorded.detections)} findings became {len(again.detections)}")
    parts += [
        name if apart.amount is None else describe_amount(name, apart.amount)
        for name, apart in differing.items()
        if name not in ("state", "findings")
    ]
    severe = sum(name in differing for name in ("frame", "state", "findings"))
    amount = functools.reduce(max, (apart.amount or 0.0 for apart in differing.values()), 0.0)
    return FrameDifference(
        frame_id=recorded.frame_id,
        description=", ".join(parts) or "findings",
        weight=(severe, amount),
        recorded=recorded,
        again=again,
    )


def _state(result: Result) -> str:
    text = str(result.state if result.state is not ResultState.NO_RESULT else result.cause)
    return text.replace("_", " ")
