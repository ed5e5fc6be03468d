"""A build in a process of its own: it ends in a plan or in one clear line, whatever happens to the process."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.kill_builds import Command, is_running, kill_builds
from tests.fake_builder import FakeBackend, environment, plan_content
from usassist.engine import find_engine
from usassist.engine.building import BuildJob, BuildState
from usassist.engine.plan import find_plan
from usassist.engine.spec import EngineSpec
from usassist.errors import EngineError


@pytest.fixture
def spec(tiny: Path) -> EngineSpec:
    return find_engine("tiny", tiny)


@pytest.fixture
def behave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_environment(behaviour: str) -> None:
        for name, value in environment(tmp_path, behaviour).items():
            monkeypatch.setenv(name, value)

    return set_environment


def _end(job: BuildJob) -> tuple[BuildState, set[str]]:
    """How it ended, and the stages that were seen before."""
    stages = set()
    deadline_s = time.monotonic() + 60
    while (state := job.state).state == "building":
        stages.add(state.stage)
        assert time.monotonic() < deadline_s, "the build does not end"
        time.sleep(0.005)
    return state, stages


def _wait_for(job: BuildJob, stage: str) -> None:
    deadline_s = time.monotonic() + 60
    while job.state.stage != stage:
        assert job.state.state == "building"
        assert time.monotonic() < deadline_s, f"no {stage}"
        time.sleep(0.005)


def test_a_build_tells_how_far_it_is_and_ends_in_a_plan(spec: EngineSpec, behave: Any) -> None:
    behave("slow")
    with BuildJob(spec, "fake", "fp32") as job:
        state, stages = _end(job)
    assert (state.state, state.built, state.share, state.reason) == ("done", True, 1.0, "")
    assert "compiling" in stages
    plan = find_plan(FakeBackend(), spec, spec.check_weights("onnx"), "fp32")
    assert plan is not None
    assert (plan.content, str(plan.path)) == (plan_content(spec.check_weights("onnx")), state.path)
    with BuildJob(spec, "fake", "fp32") as job:
        state, _ = _end(job)
    assert (state.state, state.built) == ("done", False)
    assert job.poll()[0] == "done"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("refuse", "the fake builder does not like this engine; give it another"),
        ("crash", "the builder of fake crashed (SIGSEGV); install its runtime again, or use another --backend"),
        ("oom", "the builder of fake was killed (SIGKILL), as happens when memory runs out; free memory, or build on"),
        (
            "mistake",
            "the builder of fake ended with exit code 1; its last line was: ZeroDivisionError: a mistake in the back",
        ),
    ],
)
def test_a_build_that_fails_says_why_in_one_line(
    spec: EngineSpec, behave: Any, tmp_path: Path, behaviour: str, reason: str
) -> None:
    behave(behaviour)
    with BuildJob(spec, "fake", "fp32") as job:
        _end(job)
        state, words, _ = job.poll()
    assert state == "failed"
    assert words.startswith(reason)
    assert "\n" not in words
    assert find_plan(FakeBackend(), spec, spec.check_weights("onnx"), "fp32") is None


def test_what_a_native_builder_prints_is_not_taken_for_a_report(spec: EngineSpec, behave: Any) -> None:
    behave("talk")
    with BuildJob(spec, "fake", "fp32") as job:
        state, _ = _end(job)
    assert state.state == "done"
    assert state.path.endswith(".entry")


def test_an_engine_that_cannot_be_built_here_says_so(spec: EngineSpec, behave: Any) -> None:
    behave("ok")
    with BuildJob(spec, "fake", "int8") as job:
        state, _ = _end(job)
    assert (state.state, state.exit_code) == ("failed", 1)
    assert "has fp32, not int8" in state.reason


def test_a_cancelled_build_ends_and_leaves_nothing(spec: EngineSpec, behave: Any) -> None:
    behave("hang")
    with BuildJob(spec, "fake", "fp32") as job:
        _wait_for(job, "hanging")
        assert job.poll() == ("building", "hanging", 0.25)
        job.cancel()
        state, _ = _end(job)
    assert (state.state, state.reason, state.exit_code) == ("failed", "the build was cancelled", 130)
    job.close()
    behave("ok")
    with BuildJob(spec, "fake", "fp32") as again:
        assert _end(again)[0].built


def test_closing_ends_a_build_at_once(spec: EngineSpec, behave: Any) -> None:
    behave("hang")
    job = BuildJob(spec, "fake", "fp32")
    _wait_for(job, "hanging")
    job.close()
    assert job.poll()[:2] == ("failed", "the build was cancelled")


def test_no_process_to_be_had_is_one_clear_line(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(EngineError, match=r"for fake cannot be started: Resource temporarily unavailable; end other"):
        BuildJob(spec, "fake", "fp32")


def test_who_looks_is_told_of_the_builders_own_warnings(
    spec: EngineSpec, behave: Any, caplog: pytest.LogCaptureFixture
) -> None:
    behave("ok")
    with BuildJob(spec, "fake", "fp32") as job:
        path = Path(_end(job)[0].path)
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING), BuildJob(spec, "fake", "fp32") as job:
        assert _end(job)[0].built
    assert "its content is damaged" in caplog.text


PARENT = """
import sys, time
from pathlib import Path
from usassist.engine.building import BuildJob
from usassist.engine.engine_toml import load_spec
job = BuildJob(load_spec(Path(sys.argv[1]) / "engine.toml"), "fake", "fp32")
while job.state.stage != "hanging":
    time.sleep(0.005)
print(job._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["hang", "deaf"])
def parent(spec: EngineSpec, behave: Any, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    if request.param == "deaf" and not hasattr(fcntl, "F_SETSIG"):
        pytest.skip("this system sends no signal when a pipe ends")
    behave(request.param)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(spec.folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_a_build_ends_with_the_process_that_wants_it(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert os.getpgid(child) == child  # Ctrl-C in a terminal does not reach it
    assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline_s = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < deadline_s, "the build outlives its parent"
        time.sleep(0.01)


@pytest.mark.long
def test_builds_that_are_killed_at_any_moment_leave_a_whole_plan_or_none(tiny: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("the builder's process is found through /proc, which this system does not have")
    spec = find_engine("tiny", tiny)
    variables = environment(tmp_path, "slow")
    command = Command(engine="tiny", backend="fake", engines=tiny, environment=variables)
    kills, left, built = kill_builds(command, tmp_path, count=12, seed=7)
    whole = f"whole {len(plan_content(spec.check_weights('onnx')))}"
    assert set(left) <= {"missing", whole}
    assert left.count("missing") >= 3
    assert any(kill.half_written for kill in kills)  # some were hit while they wrote
    assert not any(kill.outlived for kill in kills)
    assert built == [whole] * 3
