"""Kill ``usassist engine build`` at many moments, and look at what is left: nothing, or a whole and correct plan.

::

    python -m tests.engines.kill_builds ENGINE BACKEND [PRECISION] [COUNT] [SEED]

The moments are spread at random over the time that a build takes; every fourth kill waits until the plan is being
written. Half of the others hit the command, half the process that builds for it. Prints one row for each kill; ends
with exit code 1 when anything but a missing or a whole plan was left, or the next build failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

_PATIENCE_S = 60.0
_LOOK = """
import hashlib, os, sys
from pathlib import Path
from usassist.engine import find_engine, get_backend
from usassist.engine.opening import artifact_path
from usassist.engine.plan import find_plan
name, backend, precision, folder, *caches = sys.argv[1:]
spec = find_engine(name, Path(folder) if folder else None)
found = get_backend(backend)
for cache in caches:
    os.environ["USASSIST_CACHE"] = cache
    path = artifact_path(spec, backend, precision)
    plan = find_plan(found, spec, path, precision)
    if plan is not None:
        assert hashlib.sha256(plan.content).hexdigest() == plan.header["sha256"]
        assert plan.header["key"]["onnx_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    print("missing" if plan is None else f"whole {len(plan.content)}", flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill and what it left.

    Attributes
    ----------
    at_s : when, after the start of the command
    target : ``command``, ``builder``, or ``both`` where it waited for the plan to be written
    ended : True when the build had ended before
    half_written : files under temporary names right after it
    outlived : True when the builder went on after its command had been killed
    """

    at_s: float
    target: str
    ended: bool
    half_written: int
    outlived: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The build that is killed.

    Attributes
    ----------
    engine, backend, precision : of ``usassist engine build``
    engines : folder of engines; None = those that ship
    environment : of the processes, besides this one's
    """

    engine: str
    backend: str
    precision: str = "fp32"
    engines: Path | None = None
    environment: dict[str, str] | None = None

    def start(self, cache: Path) -> subprocess.Popen[str]:
        """Start the build, with a cache folder of its own."""
        folder = [] if self.engines is None else ["--engines", str(self.engines)]
        options = ["--backend", self.backend, "--precision", self.precision, *folder, "--json"]
        return subprocess.Popen(
            [sys.executable, "-m", "usassist", "engine", "build", self.engine, *options],
            env=self._environment(cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def look(self, caches: list[Path]) -> list[str]:
        """What a fresh process finds in each cache: ``missing``, or ``whole`` and the size of the plan in bytes.

        Raises
        ------
        RuntimeError
            If loading crashes, or what is loaded is wrong.
        """
        folder = "" if self.engines is None else str(self.engines)
        arguments = [self.engine, self.backend, self.precision, folder, *map(str, caches)]
        run = subprocess.run(
            [sys.executable, "-c", _LOOK, *arguments],
            env=self._environment(caches[0]),
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            raise RuntimeError(f"loading ended with exit code {run.returncode}: {run.stderr}")
        return run.stdout.splitlines()

    def _environment(self, cache: Path) -> dict[str, str]:
        return os.environ | (self.environment or {}) | {"USASSIST_CACHE": str(cache)}


def time_build(command: Command, cache: Path) -> float:
    """Seconds that a build takes when nobody kills it.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    started_s = time.monotonic()
    with command.start(cache) as process:
        _, said = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the build fails when nobody kills it: {said}")
    return time.monotonic() - started_s


def kill_once(command: Command, cache: Path, at_s: float, target: str) -> Kill:
    """Start a build in an empty cache, and kill it."""
    started_s = time.monotonic()
    with command.start(cache) as process:
        if target == "both":
            while process.poll() is None and not _half_written(cache):
                time.sleep(0.0002)
        else:
            time.sleep(at_s)
        builders = _children(process.pid)
        ended = process.poll() is not None
        at_s = time.monotonic() - started_s
        if target == "builder" and not builders:
            target = "command"  # it has not begun, or has ended
        if target != "command":
            for pid in builders:
                _kill(pid)
        if target != "builder":
            _kill(process.pid)
        process.communicate()
    deadline_s = time.monotonic() + _PATIENCE_S
    while any(is_running(pid) for pid in builders) and time.monotonic() < deadline_s:
        time.sleep(0.005)  # a builder whose command was killed ends automatically
    outlived = any(is_running(pid) for pid in builders)
    return Kill(at_s=at_s, target=target, ended=ended, half_written=len(_half_written(cache)), outlived=outlived)


def kill_builds(
    command: Command, folder: Path, count: int = 20, seed: int = 1
) -> tuple[list[Kill], list[str], list[str]]:
    """Kill many builds, each in a cache of its own; then build again in every fourth of the caches.

    Returns
    -------
    kills : one for each
    left : what a fresh process found after each
    built : what it found where another build followed, which nobody killed

    Raises
    ------
    RuntimeError
        If a build fails that nobody kills, or leaves anything half-written, or loading crashes.
    """
    build_s = time_build(command, folder / "whole")
    rng = np.random.default_rng(seed)
    caches = [folder / f"killed-{index}" for index in range(count)]
    kills = []
    for index, cache in enumerate(caches):
        target = "both" if index % 4 == 3 else ("command", "builder")[index % 2]
        kills.append(kill_once(command, cache, float(build_s * (index + rng.random()) / count), target))
    left = command.look(caches)
    for cache in caches[3::4]:
        time_build(command, cache)
        if _half_written(cache):
            raise RuntimeError(f"the build left {_half_written(cache)}")
    return kills, left, command.look(caches[3::4])


def main(arguments: list[str]) -> int:
    """Kill, print the table. Returns the exit code."""
    engine, backend, precision, count, seed, *_ = [*arguments, *("", "", "fp32", "20", "1")[len(arguments) :]]
    command = Command(engine=engine, backend=backend, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        kills, left, built = kill_builds(command, Path(folder), int(count), int(seed))
    table = Table("killed after", "what", "build had ended", "half-written files", "found by the next process")
    for kill, found in zip(kills, left, strict=True):
        ended = "yes" if kill.ended else "no"
        found += ", but the builder went on" if kill.outlived else ""
        table.add_row(f"{kill.at_s:.3f} s", kill.target, ended, str(kill.half_written), found)
    console = Console(width=120)
    console.print(table)
    missing, whole = left.count("missing"), sum(found.startswith("whole ") for found in left)
    followed = sum(found.startswith("whole ") for found in built)
    console.print(
        f"{len(kills)} kills: {missing} left nothing, {whole} a whole plan, {len(kills) - missing - whole} else"
    )
    console.print(f"{followed} of {len(built)} builds that followed a kill made a whole plan and left nothing else")
    good = missing + whole == len(kills) and followed == len(built) and not any(kill.outlived for kill in kills)
    return 0 if good else 1


def _half_written(cache: Path) -> list[Path]:
    return list(cache.glob(".*.tmp"))


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """True while a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
