"""What two checkouts take per frame, in turn on one machine. Prints a table; not a test.

    python -m tests.replay.compare_latency OTHER_CHECKOUT [ROUNDS] [SECONDS]

Each checkout has one process, which streams a test pattern at 60 frames a second without any reader, once with the back
end ``null``, whose overhead is all there is, and once with ``onnxruntime``. They take turns, so that both meet the
machine in the same state.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, cast

import numpy as np

_BACKENDS = ("null", "onnxruntime")
_CHILD = """
import json, sys, threading, tempfile
from usassist.app.runtime.open_stream import StreamOptions, open_stream
for line in sys.stdin:
    backend, seconds = json.loads(line)
    done = []
    with tempfile.TemporaryDirectory(prefix="usa") as folder:
        options = StreamOptions(source=f"null:rate=60,size=360x480,frames={60 * seconds}", bus=f"ipc://{folder}",
            engine="thyroid_nodule", backend=backend, precision="fp32", crop="none")
        with open_stream(options, on_result=lambda r: done.append((r.t_capture_ns, r.t_infer_start_ns, r.t_input_ns,
                r.t_output_ns, r.t_infer_end_ns))) as stream:
            stream.run(threading.Event())
    rows = [row for row in done[30:] if row[1] is not None]
    overhead = [(r[4] - r[0] - (r[3] - r[2])) / 1e6 for r in rows]
    print(json.dumps([overhead, [(r[4] - r[0]) / 1e6 for r in rows]]), flush=True)
"""


def main() -> int:
    """Let both take turns."""
    here = Path(__file__).resolve().parent.parent.parent
    checkouts = {"this": here, "other": Path(sys.argv[1]).resolve()}
    rounds, seconds = (int(word) for word in [*sys.argv[2:], "6", "5"][:2])
    with tempfile.TemporaryDirectory(prefix="usassist-compare-") as folder:
        children = {
            name: subprocess.Popen(
                [sys.executable, "-c", _CHILD],
                env=os.environ | {"PYTHONPATH": str(path)},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, path in checkouts.items()
        }
        found: dict[tuple[str, str], list[np.ndarray]] = {}
        for number in range(rounds):
            for backend in _BACKENDS:
                for name, child in [*children.items()][:: 1 if number % 2 else -1]:
                    told, said = cast(IO[str], child.stdin), cast(IO[str], child.stdout)
                    told.write(json.dumps([backend, seconds]) + "\n")
                    told.flush()
                    found.setdefault((backend, name), []).append(np.array(json.loads(said.readline())))
        for child in children.values():
            child.communicate("")
    sys.stdout.write("| back end | checkout | frames | overhead p50 / p99, ms | capture to answer p50 / p99, ms |\n")
    sys.stdout.write("|---|---|---:|---|---|\n")
    for (backend, name), parts in found.items():
        overhead, total = (np.percentile(row, [50, 99]) for row in np.concatenate(parts, axis=1))
        frames = sum(part.shape[1] for part in parts)
        figures = " | ".join(f"{p50:.3f} / {p99:.3f}" for p50, p99 in (overhead, total))
        sys.stdout.write(f"| {backend} | {name} | {frames} | {figures} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
