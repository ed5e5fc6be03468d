"""Workers that take turns: whatever else the machine does falls on all of them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from bench.peers.environment import HERE
from usassist.common.closeable import Closeable
from usassist.errors import UsAssistError

__all__ = ["Worker", "read_masks", "take_turns"]

BoolArray = npt.NDArray[np.bool_]

_OPENCL = (
    "on Debian and Ubuntu: apt-get install pocl-opencl-icd libgl1 libegl1 libopengl0 libglib2.0-0; "
    "or leave it out with --leave-out pyfast --leave-out pyfast_tuned"
)


class Worker(Closeable):
    """One way in a process of its own; see ``worker.py``.

    Parameters
    ----------
    python : interpreter to run it with
    way : a name of ``worker.WAYS``
    model : ONNX file
    folder : with the frames

    Attributes
    ----------
    versions : what it runs on, in words

    Raises
    ------
    UsAssistError
        If it cannot be opened.
    """

    def __init__(self, python: Path, way: str, model: Path, folder: Path) -> None:
        self._way = way
        self._errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # close() does
        environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "QT_QPA_PLATFORM": "offscreen"}
        environment.setdefault("XDG_RUNTIME_DIR", str(folder))  # Qt wants one, with or without a screen
        self._process = subprocess.Popen(
            [str(python), "-m", "bench.peers.worker", way, str(model), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
        )
        try:
            self.versions: str = self._answer()["versions"]
        except BaseException:
            self.close()
            raise

    def turn_s(self, first: int, count: int) -> float:
        """Do `count` frames from `first` on; gives how long they took, s."""
        return float(self._ask(first=first, count=count)["seconds"])

    def masks(self, count: int, path: Path) -> None:
        """Leave the masks of the first `count` frames in a file."""
        self._ask(first=0, count=count, masks=str(path))

    def close(self) -> None:
        """End the process. May be called twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        self._end()
        self._errors.close()

    def _end(self) -> int:
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died; what it said last is read below
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._end()  # it writes its last words after it has closed the pipe
        self._errors.seek(0)
        reason = [text.strip() for text in (f"exit code {code}", *self._errors) if text.strip()][-1]
        lacks = self._way.startswith("pyfast") and ("clGet" in reason or ".so" in reason)
        raise UsAssistError(f"{self._way} does not run here: {reason}; {_OPENCL if lacks else 'or use --leave-out'}")


def take_turns(
    workers: Sequence[Worker],
    *,
    rounds: int,
    turn: int,
    frames: int,
    on_round: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float64]:
    """Let every worker do the same `turn` frames in each round, in an order that moves on by one.

    Returns
    -------
    frames_per_s : float64 (rounds, workers)
    """
    rates = np.empty((rounds, len(workers)), np.float64)
    for number in range(rounds):
        first = number * turn % (frames - turn + 1)
        for place in range(len(workers)):
            index = (place + number) % len(workers)
            rates[number, index] = turn / workers[index].turn_s(first, turn)
        if on_round is not None:
            on_round(number + 1)
    return rates


def read_masks(path: Path, width_px: int) -> BoolArray:
    """The masks that a worker left, bool (N, H, W)."""
    return np.unpackbits(np.load(path), axis=-1, count=width_px).view(np.bool_)
