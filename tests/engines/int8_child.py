"""What an engine in INT8 answers in a process of its own: ``python -m tests.engines.int8_child NAME@VERSION OUT``.

OUT, an .npz, holds the outputs for all probes. A test runs it with ``ONEDNN_MAX_CPU_ISA`` set, which counts at the
start of a process only. The exit code is 3 where OpenVINO runs nothing in INT8.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from usassist.engine import find_engine
from usassist.engine.opening import open_checked
from usassist.engine.probe import probes
from usassist.errors import BackendUnavailableError


def main(name: str, out: str) -> int:
    spec = find_engine(name)
    found: dict[str, Any] = {}
    try:
        engine = open_checked(spec, "openvino", 1, "int8")
    except BackendUnavailableError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    with engine:
        for probe in probes(spec):
            for output, array in engine.infer(probe.inputs).items():
                found[f"{probe.name}/{output}"] = array.copy()
    np.savez(out, **found)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
