"""``usassist bench openigtlink``: at which rate and how late clients in other processes get image and outline."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from usassist.app.bench.bench_session import BenchSession
from usassist.app.bench.process_usage import UsageSampler
from usassist.app.bench.setup import Setup
from usassist.app.bench.view import Seen, published, shown_frames, sleep_watching

__all__ = ["LinkFigures", "measure_link"]

_WARM_UP_S = 5.0
_SETTLE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFigures:
    """What was measured.

    Attributes
    ----------
    source : address of the loop
    image_hw_px : of the frames that are sent, after the crop
    reader : what the clients read with
    seconds : measured
    results : published with an answer
    clients : name → frames whose image and outline came
    lost : name → frames between the first and the last that did not come,
    unpaired : name → images that came without the outline of their frame
    cpu_percent : process → of one processor
    """

    source: str
    image_hw_px: tuple[int, int]
    reader: str
    seconds: float
    results: Seen
    clients: dict[str, Seen]
    lost: dict[str, int]
    unpaired: dict[str, int]
    cpu_percent: dict[str, float]


def measure_link(
    setup: Setup, *, clients: int, reader: str, seconds: float, log: Callable[[str], None] = lambda line: None
) -> LinkFigures:
    """Run a live session with clients.

    Parameters
    ----------
    setup : without viewers and overlay
    clients : how many, each in a process of its own
    reader : ``usassist`` or ``pyigtl``
    seconds : to measure

    Raises
    ------
    UsAssistError
        If a process cannot be started, or exits.
    """
    with tempfile.TemporaryDirectory(prefix="usassist-bench-") as folder, BenchSession(setup, Path(folder)) as bench:
        port = bench.add_link()
        names = [bench.add_link_client(port, reader) for _ in range(clients)]
        time.sleep(_WARM_UP_S)
        log(f"{clients} clients read with {reader}")
        with UsageSampler(bench.processes) as sampler:
            begin_ns = time.monotonic_ns()
            sleep_watching(bench, seconds)
            span = begin_ns, time.monotonic_ns()
            usage = sampler.usage(*span)
        time.sleep(_SETTLE_S)
        for name in names:
            bench.remove(name)
        bench.shut_down()
        results, session = bench.collector.results(), bench.collector.session
    reports = {f"client {number}": bench.final_reports[name] for number, name in enumerate(names, 1)}
    lost = {}
    for name, report in reports.items():
        inside = [
            frame_id
            for frame_id, captured_ms in zip(report["frame_ids"], report["captured_ms"], strict=True)
            if span[0] <= captured_ms * 1e6 < span[1]
        ]
        lost[name] = inside[-1] - inside[0] + 1 - len(inside) if inside else 0
    return LinkFigures(
        source=setup.source,
        image_hw_px=(0, 0) if session is None else session.image_hw_px,
        reader=reader,
        seconds=seconds,
        results=published(results, [span]),
        clients={name: shown_frames([report], [span]) for name, report in reports.items()},
        lost=lost,
        unpaired={name: report["unpaired"] for name, report in reports.items()},
        cpu_percent={name: round(used.cpu_percent, 1) for name, used in usage.items()},
    )
