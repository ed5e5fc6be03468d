"""What the commands show to a person: progress on standard error, tables on standard output."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from usassist.app.commands.speed_report import processor_words, speed_words
from usassist.app.runtime.clip_session import Outcome
from usassist.app.runtime.live_session import LiveReport
from usassist.bus import PointBody
from usassist.engine import EngineSpec, candidates, list_backends, list_engines, why_not
from usassist.engine.opening import is_ready
from usassist.engine.speed import Speed, Speeds, by_speed, load_speeds
from usassist.records import ResultState, SourceInfo

__all__ = ["BarProgress", "engine_table", "print_engine_table", "print_live", "print_outcome", "render_with_progress"]

_STATE_WORDS = {
    ResultState.FINDING: "finding",
    ResultState.NO_FINDING: "no finding",
    ResultState.NO_RESULT: "no result",
    ResultState.STALE: "stale (came too late)",
}


class BarProgress:
    """A progress bar on standard error.

    Parameters
    ----------
    quiet : show nothing
    """

    def __init__(self, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet,
            transient=True,
        )
        self._task: TaskID | None = None
        self._building: TaskID | None = None

    def opened(self, info: SourceInfo) -> None:
        """Source and engine are open."""
        if self._building is not None:
            self._progress.remove_task(self._building)
        self._progress.start()
        self._task = self._progress.add_task(
            info.description, total=info.frame_count or info.frame_count_estimate, note=""
        )

    def building(self, stage: str, share: float) -> None:
        """A plan is being built, before anything is open."""
        if self._building is None:
            self._progress.start()
            self._building = self._progress.add_task("building", total=100, note="")
        self._progress.update(self._building, completed=round(100 * share), description=stage or "building")

    def answered(self, results: int, findings: int) -> None:
        """So many frames have their result by now, and so many of these are findings."""
        if self._task is not None:
            self._progress.update(self._task, completed=results, note=f"{findings} with finding")

    def step(self, done: int, total: int) -> None:
        """For a job that counts itself."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("rendering", total=total, note="")
        self._progress.update(self._task, completed=done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def print_outcome(outcome: Outcome) -> None:
    """The short table at the end of a replay."""
    summary = outcome.summary
    table = Table(title=f"{summary['engine_id']} on {summary['backend']}", title_justify="left", show_header=False)
    table.add_row("frames", str(summary["frames"]))
    for state, count in summary["results_by_state"].items():
        table.add_row(f"  {_STATE_WORDS[ResultState(state)]}", str(count))
    causes = ", ".join(f"{cause.replace('_', ' ')} {n}" for cause, n in summary["no_answer_by_cause"].items() if n)
    if causes:
        table.add_row("  why not answered", causes)
    for change in summary["backend_changes"]:
        table.add_row(
            f"from frame {change['frame_id']}",
            f"{change['after']} in the place of {change['before']}: {change['reason']}",
        )
    if len(summary["answers_by_backend"]) > 1:
        answered = ", ".join(f"{name} {count}" for name, count in summary["answers_by_backend"].items())
        table.add_row("answered by", answered)
    table.add_row("nodules outlined", str(summary["nodules"]))
    table.add_row("operating point", _point(summary["point"]))
    if summary["decode_errors"]:
        table.add_row("could not be decoded", str(summary["decode_errors"]))
    latency = summary["latency_capture_to_published"]
    text = (
        "none"
        if latency is None
        else f"p50 {latency['p50_ms']}  p95 {latency['p95_ms']}  p99 {latency['p99_ms']}  max {latency['max_ms']} ms"
    )
    table.add_row("capture to published result" if summary["realtime"] else "capture to result, not live", text)
    table.add_row("frames per second", str(summary["frames_per_s"]))
    table.add_row("recorded", _recorded(summary["recorded"]))
    console = Console()
    console.print(table)
    for path in outcome.files.values():
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def print_live(report: LiveReport) -> None:
    """The short table at the end of a live session."""
    table = Table(title="live session", title_justify="left", show_header=False)
    summary = report.summary
    if summary is not None:
        table.add_row("frames", str(summary["frames"]))
        for state, count in summary["results_by_state"].items():
            table.add_row(f"  {_STATE_WORDS[ResultState(state)]}", str(count))
        causes = ", ".join(f"{cause.replace('_', ' ')} {n}" for cause, n in summary["no_answer_by_cause"].items() if n)
        table.add_row("  why not answered", causes or "–")
        latency = summary["latency_capture_to_published"]
        if latency is not None:
            text = (
                f"p50 {latency['p50_ms']}  p95 {latency['p95_ms']}  p99 {latency['p99_ms']}  max {latency['max_ms']} ms"
            )
            table.add_row("capture to published result", text)
    if report.restarts:
        table.add_row("started again", ", ".join(f"{name} {count} times" for name, count in report.restarts.items()))
    for folder in report.folders:
        table.add_row("recorded in", folder)
    if report.folders:
        table.add_row("recorded", f"{report.recorded_bytes / 2**20:.1f} MiB, {report.messages_lost} messages lost")
    if report.recording_stopped:
        table.add_row("recording stopped", report.recording_stopped)
    Console().print(table)


def _point(point: dict[str, Any] | None) -> str:
    return "the engine's own; scores are not calibrated" if point is None else PointBody(**point).words


def _recorded(counts: dict[str, Any]) -> str:
    if "error" in counts:
        return "stopped early"
    lost = sum(counts["gaps"].values())
    frames = f"{counts['frames']} frames, " if "frames" in counts else ""
    return f"{frames}{counts['results']} results, {lost} messages lost"


def engine_table() -> dict[str, Any]:
    """Engines and back ends as one document, with what was measured of them here."""
    return {
        "processor": processor_words(),
        "engines": [
            {
                "engine_id": spec.engine_id,
                "modality": spec.modality,
                "task": spec.task,
                "precisions": list(spec.precisions),
                "labels": [label.name for label in spec.labels],
                "auto": _auto(spec),
                "speeds": None if (speeds := load_speeds(spec)) is None else dataclasses.asdict(speeds),
                "licence": spec.licence,
                "intended_use": spec.intended_use,
            }
            for spec in list_engines()
        ],
        "backends": [
            {"name": name, "available": reason is None, "reason": reason}
            for name in list_backends()
            for reason in (why_not(name),)
        ],
    }


def _auto(spec: EngineSpec) -> str | None:
    """Back end and precision that `auto` begins with here; None when nothing can run the engine."""
    speeds = load_speeds(spec)
    wrong = [row.pair for row in speeds.rows if row.rejected] if speeds is not None else []
    pairs = (pair for pair in by_speed(spec, candidates(spec)) if pair not in wrong)
    return next((" ".join(pair) for pair in pairs if is_ready(spec, *pair)), None)


def print_engine_table(document: dict[str, Any]) -> None:
    """Show :func:`engine_table`."""
    console = Console()
    engines = Table(title="Engines", title_justify="left")
    engines.add_column("engine", no_wrap=True)
    for name in ("for", "precisions", "labels", "auto takes here"):
        engines.add_column(name)
    for item in document["engines"]:
        lists = [", ".join(item[key]) for key in ("precisions", "labels")]
        name, _, _ = item["engine_id"].partition("+")
        purpose = f"{item['modality']}, {item['task'].replace('_', ' ')}"
        engines.add_row(name, purpose, *lists, item["auto"] or "nothing")
    console.print(engines)
    for item in document["engines"]:
        name, _, _ = item["engine_id"].partition("+")
        console.print(f"{name} on the processor: {_speeds(item['speeds'])}", highlight=False, markup=False)
    console.print(f"processor: {document['processor']}", highlight=False, markup=False)
    backends = Table("back end", "here", "why not", title="Back ends", title_justify="left")
    for item in document["backends"]:
        note = "computes nothing; every result says so" if item["name"] == "null" else item["reason"] or ""
        backends.add_row(item["name"], "yes" if item["available"] else "no", escape(note))
    console.print(backends)


def _speeds(speeds: dict[str, Any] | None) -> str:
    if speeds is None:
        return "in the order of the table; usassist doctor measures which is the fastest here"
    return speed_words(Speeds(**speeds | {"rows": tuple(Speed(**row) for row in speeds["rows"])}))


def render_with_progress(out: Path, *, seconds: float, seed: int, lossless: bool, quiet: bool) -> dict[str, str]:
    """Render a phantom clip with a progress bar.

    Returns
    -------
    files : ``clip`` and ``truth`` → path
    """
    from usassist.phantom import render_clip

    with BarProgress(quiet=quiet) as progress:
        render_clip(out, seconds=seconds, seed=seed, lossless=lossless, progress=progress.step)
    files = {"clip": str(out), "truth": str(out.with_suffix(".truth.jsonl"))}
    if not quiet:
        for path in files.values():
            Console().print(f"wrote {path}", highlight=False, soft_wrap=True)
    return files
