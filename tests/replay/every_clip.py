"""Play every clip below some folders with ``usassist replay``, in its own time, and say how it went.

::

    python -m tests.replay.every_clip FOLDER… [-- options of usassist replay]

Prints one row per clip and the sums; ends with exit code 1 when a clip does not play to its end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

_SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
_QUANTILES = ("p50_ms", "p95_ms", "p99_ms", "max_ms")


def play(clip: Path, options: list[str]) -> dict[str, Any]:
    """One clip through the command line; what its summary says, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-m", "usassist", "replay", str(clip), "--out", f"{folder}/s", "--json", *options],
            capture_output=True,
            text=True,
            check=False,
        )
    document: dict[str, Any] = json.loads(run.stdout) if run.stdout else {"error": run.stderr.strip()}
    return document | {"exit_code": run.returncode}


def main(arguments: list[str]) -> int:
    """Play all, print the table. Returns the exit code."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    folders, options = arguments[:split], arguments[split + 1 :]
    clips = sorted(path for folder in folders for path in Path(folder).rglob("*") if path.suffix.lower() in _SUFFIXES)
    table = Table("clip", "frames", "finding", "dropped", "stale", "p50", "p95", "p99", "max", "ends")
    played: list[dict[str, Any]] = []
    for clip in clips:
        summary = play(clip, options)
        ended = summary["exit_code"] == 0 and summary.get("state") == "ended"
        if not ended:
            table.add_row(clip.name, *[""] * 8, summary.get("error", "?"))
            continue
        played.append(summary)
        latency, states = summary["latency_capture_to_published"], summary["results_by_state"]
        table.add_row(
            clip.name,
            str(summary["frames"]),
            str(states["finding"]),
            str(summary["no_answer_by_cause"]["dropped"]),
            str(states["stale"]),
            *(f"{latency[name]:.1f}" for name in _QUANTILES),
            "yes",
        )
    console = Console(width=120)
    console.print(table)
    frames = sum(summary["frames"] for summary in played)
    medians = {name: np.median([s["latency_capture_to_published"][name] for s in played]) for name in _QUANTILES}
    console.print(
        f"{len(played)} of {len(clips)} clips play to the end, {frames} frames, "
        f"{sum(s['no_answer_by_cause']['dropped'] for s in played)} dropped, "
        f"{sum(s['results_by_state']['stale'] for s in played)} stale, "
        f"{sum(s['results_by_state']['finding'] for s in played)} with a finding, "
        f"{sum(sum(s['recorded']['gaps'].values()) for s in played)} messages lost by the recorder"
    )
    console.print(
        "median over the clips: " + ", ".join(f"{name[:-3]} {value:.1f} ms" for name, value in medians.items())
    )
    return 0 if len(played) == len(clips) and clips else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
