"""The run of a study, with engines and tasks that do what a test wants."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.samples import make_failover
from tests.unit.modalities.rows import empty_rooms
from tests.unit.pipeline.test_hangs import DEADLINE_S, Stuck
from tests.unit.pipeline.test_stream import FakeEngine, _spec
from tests.unit.test_volumes import MEASURED, make_volume
from usassist.common.clock import FakeClock
from usassist.errors import (
    BackendFailedError,
    BackendHungError,
    EngineError,
    EngineSpecError,
    RecordError,
    StudyError,
    UsageError,
    VolumeError,
)
from usassist.modalities import StudyRun
from usassist.pipeline import make_study_task, make_task, run_study
from usassist.records import ResultState
from usassist.volumes import StudyAnswer, StudyCause, StudyResult, Volume

WINDOWS = 4


class FakeTask:
    """Labels one plane for each call of the engine, unless `act` does something else first."""

    stages: ClassVar = {"prepare": 1.0, "infer": 3.0}

    def __init__(self, act: Callable[[int], None] = lambda window: None, *, finds: bool = True) -> None:
        self._act, self._finds = act, finds

    def __call__(self, volume: Volume, engine: Any, run: StudyRun) -> StudyAnswer:
        scaled = run.scratch(volume.shape_zyx, np.float32)
        scaled[:] = volume.voxels
        run.report("prepare", 1.0)
        labelmap = run.output("labelmap", volume.shape_zyx, np.uint8)
        for window in range(WINDOWS):
            self._act(window)
            engine.infer({})
            labelmap[window % volume.shape_zyx[0]] = self._finds
            run.report("infer", (window + 1) / WINDOWS)
        return StudyAnswer(found=self._finds, labelmap=labelmap)


class Engine(FakeEngine):
    """The stream's fake, as an engine for CT."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.spec = _spec(modality="CT", task="segment")


def run(*engines: Engine, task: Any = None, volume: Volume | None = None, **options: Any) -> StudyResult:
    with make_failover(*engines) as failover:
        return run_study(volume or make_volume(), task or FakeTask(), failover, **options)


def raiser(error: BaseException, at: int = 0) -> Callable[[int], None]:
    def act(call: int) -> None:
        if call == at:
            raise error

    return act


def test_an_answer_carries_where_it_comes_from() -> None:
    volume, clock = make_volume(), FakeClock(5)
    result = run(Engine(), volume=volume, clock=clock)
    assert (result.state, result.backend, result.failovers) == (ResultState.FINDING, "fake", ())
    assert (result.session_id, result.source_id, result.series_id) == ("s", "ct0", "a1b2")
    assert (result.modality, result.shape_zyx) == ("CT", volume.shape_zyx)
    assert (result.t_start_ns, result.t_end_ns) == (5, 5)
    np.testing.assert_array_equal(result.affine_ijk_to_lps_mm, volume.affine_ijk_to_lps_mm)


def test_nothing_found_is_no_finding() -> None:
    result = run(Engine(), task=FakeTask(finds=False))
    assert result.state is ResultState.NO_FINDING
    assert not result.answer.labelmap.any()


def test_progress_names_the_stage_and_never_falls() -> None:
    seen: list[tuple[str, float]] = []
    run(Engine(), progress=lambda stage, share: seen.append((stage, share)))
    stages = [stage for stage, _ in seen]
    assert stages == ["check", "prepare", *["infer"] * WINDOWS, "done"]
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert shares[stages.index("infer")] - shares[1] == pytest.approx(0.98 * 0.75 / WINDOWS)


def test_a_stage_that_the_task_did_not_declare_is_a_fault_of_the_task() -> None:
    class Task(FakeTask):
        stages: ClassVar = {"prepare": 1.0}

    with pytest.raises(UsageError, match="no stage infer; known: prepare"):
        run(Engine(), task=Task())


def test_a_cancelled_study_ends_before_the_next_call_of_the_engine(tmp_path: Path) -> None:
    cancel = threading.Event()
    engine = Engine(lambda call: cancel.set() if call == 1 else None)
    result = run(engine, cancel=cancel, folder=tmp_path / "out")
    assert (result.state, result.cause, result.answer) == (ResultState.NO_RESULT, StudyCause.INTERRUPTED, None)
    assert engine.calls == 2
    assert not list(tmp_path.iterdir())


def test_a_study_that_was_cancelled_before_it_began_calls_no_engine() -> None:
    cancel, engine = threading.Event(), Engine()
    cancel.set()
    assert run(engine, cancel=cancel).cause is StudyCause.INTERRUPTED
    assert engine.calls == 0


def test_a_task_cannot_swallow_that_it_was_cancelled() -> None:
    cancel = threading.Event()

    def stubborn(volume: Volume, engine: Any, run: StudyRun) -> StudyAnswer:
        cancel.set()
        with contextlib.suppress(Exception):
            engine.infer({})
        return StudyAnswer(found=False)

    stubborn.stages = {"infer": 1.0}  # type: ignore[attr-defined]
    assert run(Engine(), task=stubborn, cancel=cancel).cause is StudyCause.INTERRUPTED


def test_a_voxel_that_is_not_finite_is_bad_input_and_calls_no_engine() -> None:
    voxels = np.zeros((3, 4, 5), np.float32)
    voxels[2, 0, 0] = np.nan
    engine = Engine()
    result = run(engine, volume=make_volume(voxels=voxels))
    assert (result.state, result.cause) == (ResultState.NO_RESULT, StudyCause.BAD_INPUT)
    assert "plane 2" in result.reason
    assert engine.calls == 0


def test_a_volume_of_another_modality_is_refused() -> None:
    with pytest.raises(UsageError, match="is for CT, the volume is MR"):
        run(Engine(), volume=make_volume(modality="MR"))


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (VolumeError("slices are missing; send the series again"), StudyCause.BAD_INPUT, "slices are missing"),
        (EngineError("output score must be floats; use another"), StudyCause.ENGINE_ERROR, "must be floats"),
        (RecordError("a record of ours"), StudyCause.ENGINE_ERROR, "a record of ours"),
        (ZeroDivisionError("a fault of ours"), StudyCause.ENGINE_ERROR, "ZeroDivisionError"),
    ],
)
def test_whatever_fails_in_the_task_is_no_result_and_costs_no_back_end(
    error: Exception, cause: StudyCause, reason: str, tmp_path: Path
) -> None:
    first, second = Engine(), Engine(backend="spare")
    result = run(first, second, task=FakeTask(raiser(error, 2)), folder=tmp_path / "out")
    assert (result.state, result.cause, result.backend) == (ResultState.NO_RESULT, cause, "fake")
    assert reason in result.reason
    assert second.calls == 0
    assert result.failovers == ()
    assert not list(tmp_path.iterdir())


def test_the_null_back_end_computes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    result = run(Engine(backend="null"), folder=tmp_path / "out")
    assert (result.state, result.cause) == (ResultState.NO_RESULT, StudyCause.NULL_ENGINE)
    assert not list(tmp_path.iterdir())


def test_another_back_end_answers_from_the_first_plane_on(tmp_path: Path) -> None:
    first, second = Engine(raiser(BackendFailedError("device lost"), 2)), Engine(backend="spare")
    shares: list[float] = []
    result = run(first, second, folder=tmp_path / "out", progress=lambda stage, share: shares.append(share))
    assert (result.state, result.backend) == (ResultState.FINDING, "spare")
    assert (first.calls, second.calls) == (3, WINDOWS)
    assert result.failovers == ("fake failed: device lost",)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sum(after < before for before, after in itertools.pairwise(shares)) == 1


def test_where_every_back_end_fails_the_last_reason_is_given() -> None:
    engines = [Engine(raiser(BackendFailedError(f"lost {name}")), backend=name) for name in ("a", "b")]
    result = run(*engines)
    assert (result.state, result.cause, result.backend) == (ResultState.NO_RESULT, StudyCause.ENGINE_ERROR, "none")
    assert result.reason == "no back end is left: b failed: lost b"
    assert result.failovers == ("a failed: lost a", "b failed: lost b")


def test_an_engine_that_hangs_is_given_up_and_another_answers() -> None:
    stuck = Stuck(1)
    hanging, spare = Engine(stuck, backend="hanging"), Engine(backend="spare")
    result = run(hanging, spare, deadline_s=DEADLINE_S)
    assert (result.state, result.backend) == (ResultState.FINDING, "spare")
    assert "did not answer" in result.failovers[0]
    assert not hanging.closed.is_set(), "a thread is still in it"
    stuck.free.set()
    assert hanging.closed.wait(10), "one that returns too late is closed"


def test_with_a_second_thread_stuck_the_study_is_given_up() -> None:
    first, second = Stuck(0), Stuck(0)
    with pytest.raises(BackendHungError, match="did not answer"):
        run(Engine(first), Engine(second, backend="b"), Engine(backend="c"), deadline_s=0.05)
    first.free.set()
    second.free.set()


def test_what_the_callers_progress_raises_comes_back_to_the_caller(tmp_path: Path) -> None:
    def broken(stage: str, share: float) -> None:
        if stage == "infer":
            raise ValueError("the window is closed")

    with pytest.raises(ValueError, match="the window is closed"):
        run(Engine(), progress=broken, folder=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_outputs_are_files_and_scratch_is_gone(tmp_path: Path) -> None:
    result = run(Engine(), folder=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labelmap.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "labelmap.npy"), result.answer.labelmap)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_exists_or_cannot_be_made_is_refused(tmp_path: Path) -> None:
    engine = Engine()
    with pytest.raises(StudyError, match="exists already"):
        run(engine, folder=tmp_path)
    with pytest.raises(StudyError, match="nothing can be written beside"):
        run(engine, folder=tmp_path / "missing" / "out")
    assert engine.calls == 0


def test_a_full_disk_is_an_error_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    engine = Engine()
    with pytest.raises(StudyError, match=r"no room for scratch-0 .*No space left"):
        run(engine, folder=tmp_path / "out")
    assert engine.calls == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "reason"), [("Label map", "must match"), ("labelmap", "made twice")])
def test_an_output_has_a_plain_name_and_is_made_once(name: str, reason: str, tmp_path: Path) -> None:
    class Task(FakeTask):
        def __call__(self, volume: Volume, engine: Any, run: StudyRun) -> StudyAnswer:
            run.output("labelmap", (1,), np.uint8)
            run.output(name, (1,), np.uint8)
            return StudyAnswer(found=False)

    with pytest.raises(UsageError, match=reason):
        run(Engine(), task=Task(), folder=tmp_path / "out")


def test_a_labelmap_on_another_grid_is_a_fault_of_the_task() -> None:
    class Task(FakeTask):
        def __call__(self, volume: Volume, engine: Any, run: StudyRun) -> StudyAnswer:
            return StudyAnswer(found=True, labelmap=np.ones((1, 1, 1), np.uint8))

    with pytest.raises(UsageError, match="resample it back"):
        run(Engine(), task=Task())


def test_a_computed_volume_is_an_answer(tmp_path: Path) -> None:
    class Denoise(FakeTask):
        def __call__(self, volume: Volume, engine: Any, run: StudyRun) -> StudyAnswer:
            denoised = run.output("denoised", volume.shape_zyx, np.float32)
            denoised[:] = 7.0
            return StudyAnswer(found=True, output=make_volume(voxels=denoised), measurements=(MEASURED,))

    result = run(Engine(), task=Denoise(), folder=tmp_path / "out")
    assert result.answer.output.voxels[0, 0, 0] == 7.0
    assert np.load(tmp_path / "out" / "denoised.npy")[2, 3, 4] == 7.0


def test_a_streamed_modality_and_an_empty_room_have_no_study(monkeypatch: pytest.MonkeyPatch) -> None:
    empty_rooms(monkeypatch)
    with pytest.raises(EngineSpecError, match="Ultrasound, which is streamed"):
        make_study_task(_spec())
    with pytest.raises(EngineSpecError, match="Magnetic resonance imaging: nothing yet"):
        make_study_task(_spec(modality="MR"))
    with pytest.raises(EngineSpecError, match="Ultrasound runs detect_segment, not segment"):
        make_task(_spec(task="segment"), None, "balanced", None)
