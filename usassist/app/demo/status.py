"""What the page says of a file and of the progress, in the words of a language."""

from __future__ import annotations

from usassist.app.demo.answering import Answered, Report
from usassist.app.demo.limits import LIMITS, Allowance, Limits
from usassist.errors import UsAssistError
from usassist.words import Words

__all__ = ["done_text", "failure_text", "file_text", "limits_text", "progress_share", "progress_text"]


def limits_text(words: Words, limits: Limits = LIMITS) -> str:
    """What is taken."""
    return words(
        "give.limits",
        mib=limits.file_bytes // 2**20,
        seconds=words.number(limits.clip_s),
        frames=limits.frames,
    )


def file_text(found: Allowance, words: Words) -> str:
    """What a file holds, and how much of it will be answered."""
    width, height = found.size_wh_px
    if found.frames == 1:
        return words("status.picture", width=width, height=height)
    if found.frames is None or found.seconds is None or found.allowed_s is None:
        key = "file_unknown" if found.frames is None else "frames"
        text = words(f"status.{key}", width=width, height=height, frames=found.frames)
        is_whole = found.frames is not None and not found.is_cut
        return text if is_whole else f"{text} {words('status.cut_unknown', count=found.count)}"
    seconds = words.number(found.seconds, 1)
    text = words("status.file", width=width, height=height, frames=found.frames, seconds=seconds)
    if not found.is_cut:
        return text
    allowed = words.number(found.allowed_s, 1)
    return f"{text} {words('status.cut', count=found.count, frames=found.frames, allowed=allowed, seconds=seconds)}"


def progress_text(report: Report, words: Words) -> str:
    """How far it is."""
    if report.stage == "answering":
        key = "answering_open" if report.total is None else "answering"
        return words(f"status.{key}", frames=report.frames, total=report.total)
    return words(f"status.{report.stage}")


def progress_share(report: Report) -> float:
    """How far it is, 0 to 1; starting and summing up take a tenth each."""
    if report.stage == "answering" and report.total:
        return 0.1 + 0.8 * min(1.0, report.frames / report.total)
    return {"waiting": 0.0, "starting": 0.05, "answering": 0.5, "summing_up": 0.95}[report.stage]


def done_text(answered: list[Answered], allowance: Allowance, words: Words) -> str:
    """What came of it."""
    count = len(answered[0].overview.frames)
    text = words("status.done", frames=count)
    if allowance.frames is None and count >= allowance.count:
        text += " " + words("status.done_cut", frames=count)
    lost = sum(line.state in ("no_result", "stale") for line in answered[0].overview.frames)
    return f"{text} {words('table.unanswered', count=lost, frames=count)}" if lost else text


def failure_text(error: UsAssistError, words: Words) -> str:
    """Why there is no answer, in one line."""
    return words("status.failed", reason=" ".join(str(error).split()))
