"""What ``usassist bench`` prints."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from usassist.app.bench.codecs import CodecFigures
from usassist.app.bench.contract import Breach
from usassist.app.bench.live import LiveFigures
from usassist.app.bench.soak import Soaked
from usassist.app.bench.soak_figures import Judgement

__all__ = ["print_codecs", "print_contract", "print_figures", "print_soak"]

_BUSY_PERCENT = 15.0


def _table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def print_figures(figures: LiveFigures, console: Console) -> None:
    """Stages, frames, processes, recording and the machine."""
    setup, accounts = figures.setup, figures.accounts
    stages = _table(f"{setup.source}, {figures.seconds:.0f} s, ms", "stage", "p50", "p95", "p99", "max", "frames")
    for name, row in figures.stages.items():
        values = (f"{row[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        stages.add_row(name, *values, f"{row['count']:.0f}")
    console.print(stages)
    states = ", ".join(f"{state} {count}" for state, count in accounts.by_state.items() if count)
    causes = ", ".join(f"{cause} {count}" for cause, count in accounts.by_cause.items()) or "none"
    console.print(f"pictures due {accounts.due}, frames {accounts.frames}, never taken {accounts.not_taken}")
    console.print(f"results: {states}; without an answer: {causes}")
    console.print(f"without their own result {accounts.without_own_percent:.2f} %; unaccounted {accounts.unaccounted}")
    usage = _table("processes, MiB", "process", "CPU %", "RSS start", "RSS end", "RSS peak", "files", "threads")
    for name, item in figures.usage.items():
        memory = (f"{value:.1f}" for value in (item.rss_start_mb, item.rss_end_mb, item.rss_peak_mb))
        usage.add_row(name, f"{item.cpu_percent:.1f}", *memory, str(item.fds), str(item.threads))
    console.print(usage)
    if figures.recorded is not None:
        console.print(_recorded_words(figures.recorded))
    console.print(
        f"calibration {figures.calibration_ms:.3f} ms (before {figures.before.median_ms:.3f}, after "
        f"{figures.after.median_ms:.3f}, drift {figures.drift_percent:+.1f} %); engine {figures.stream['engine_id']} "
        f"on {figures.stream['backend']}"
    )
    if figures.others_percent > _BUSY_PERCENT:
        console.print(
            f"other programs used {figures.others_percent:.0f} % of a processor meanwhile: measure again without them"
        )


def print_contract(name: str, items: list[Breach], console: Console) -> None:
    """Every limit, and which are broken."""
    table = _table(f"contract {name}, ratios to the calibration", "limit", "measured", "at most", "")
    for item in items:
        table.add_row(item.name, f"{item.measured:.3f}", f"{item.limit:.3f}", "BROKEN" if item.broken else "kept")
    console.print(table)


def print_soak(soaked: Soaked, judgement: Judgement, console: Console) -> None:
    """Latency over time, memory, files and threads, every frame, and what is broken."""
    title = "answered frames, capture to published result, and the calibration's work meanwhile, ms"
    blocks = _table(title, "from frame", "frames", "p50", "p99", "work")
    for block in judgement.blocks:
        work = "–" if block.work_ms is None else f"{block.work_ms:.2f}"
        blocks.add_row(str(block.first_frame), str(block.frames), f"{block.p50_ms:.2f}", f"{block.p99_ms:.2f}", work)
    console.print(blocks)
    growth = _table("from the end of the warm-up to the end", "process", "RSS MiB", "end", "most", "files", "threads")
    for name, item in judgement.growth.items():
        memory = (f"{item.growth_mb:+.1f}", f"{item.rss_end_mb:.1f}", f"{item.rss_peak_mb:.1f}")
        growth.add_row(name, *memory, f"{item.fds:+d}", f"{item.threads:+d}")
    console.print(growth)
    states = ", ".join(f"{state} {count}" for state, count in soaked.results.by_state().items() if count)
    causes = ", ".join(f"{cause} {count}" for cause, count in soaked.results.by_cause().items()) or "none"
    console.print(f"{len(soaked.results)} frames: {states}; without an answer: {causes}")
    console.print(
        f"passed over by the source {soaked.passed_over}, reconnections {soaked.reconnects}, viewers "
        f"{soaked.viewers_seen} (killed {soaked.viewers_killed}), recorders {soaked.recorders}"
    )
    console.print(
        f"recorded: {soaked.frames_recorded} frames, {soaked.results_recorded} results; in no recording: "
        f"{soaked.frames_missing} frames, {soaked.results_missing} results; marks {soaked.marks_recorded} of "
        f"{soaked.marks_made}; unaccounted {soaked.unaccounted}"
    )
    drift = "–" if judgement.drift is None else f"{judgement.drift:.3f}"
    console.print(f"median latency, last quarter to first, both to the work: {drift}")
    for line in judgement.broken:
        console.print(f"broken: {line}")


def _recorded_words(recorded: dict[str, Any]) -> str:
    gaps = ", ".join(f"{topic} {count}" for topic, count in recorded["gaps"].items() if count) or "none"
    return (
        f"recorded: {recorded['frames']} frames, {recorded['results']} results, gaps: {gaps}, "
        f"{recorded['bytes'] / 2**20:.1f} MiB"
    )


def print_codecs(figures: list[CodecFigures], shape: tuple[int, ...], count: int, console: Console) -> None:
    """One line per codec; times are of one processor."""
    size = " x ".join(str(side) for side in shape)
    table = _table(
        f"{count} frames of {size}; ms of a processor", "codec", "write p50", "p95", "read p50", "kB", "exact"
    )
    for item in figures:
        if item.problem:
            table.add_row(item.name, "", "", "", "", item.problem[:60])
            continue
        times = (f"{value:.2f}" for value in (item.encode_p50_ms, item.encode_p95_ms, item.decode_p50_ms))
        table.add_row(item.name, *times, f"{item.frame_kb:.1f}", "yes" if item.lossless else "NO")
    console.print(table)
