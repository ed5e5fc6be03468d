"""A modality from elsewhere, from its entry point to millilitres, with an engine that was made for the test."""

from __future__ import annotations

import dataclasses
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.samples import make_failover
from tests.unit.modalities.example3d.engine import install
from tests.unit.modalities.rows import empty_rooms
from usassist.engine import FailoverEngine, open_engine
from usassist.errors import BackendFailedError, EngineSpecError
from usassist.modalities import list_modalities, table
from usassist.pipeline import make_study_task, make_task, run_study
from usassist.records import ResultState
from usassist.volumes import StudyCause, Volume

BACKENDS = ("openvino", "onnxruntime")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The distribution `bright-ct`, which adds the modality."""
    home = tmp_path / "site" / "bright_ct-1.0.dist-info"
    home.mkdir(parents=True)
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-ct\nVersion: 1.0\n")
    (home / "entry_points.txt").write_text("[usassist.modalities]\nCT = tests.unit.modalities.example3d:MODALITY\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    empty_rooms(monkeypatch)
    yield
    table._added.cache_clear()


@pytest.fixture
def spec(tmp_path: Path) -> Any:
    return install(tmp_path / "engines")


def make_volume(shape_zyx: tuple[int, int, int] = (20, 31, 26), **changes: Any) -> Volume:
    """Water with a block of 8 x 12 x 10 voxels of 90 HU."""
    voxels = np.full(shape_zyx, 10, np.int16)
    voxels[6:14, 9:21, 8:18] = 90
    values: dict[str, Any] = {
        "session_id": "s",
        "source_id": "ct0",
        "series_id": "a1b2",
        "modality": "CT",
        "voxels": voxels,
        "affine_ijk_to_lps_mm": np.diag([0.5, 0.5, 5.0, 1.0]),
        "unit": "HU",
        "spacing_rel_sd": 0.003,
    }
    return Volume(**(values | changes))


def test_it_fills_the_empty_room_in_the_table() -> None:
    rows = list_modalities()
    assert list(rows) == list(table.MODALITIES)
    assert (rows["CT"].provider, rows["CT"].is_available) == ("bright-ct", True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_study_goes_in_and_millilitres_come_out(spec: Any, backend: str) -> None:
    with FailoverEngine.open(spec, backend, threads=1) as engine:
        result = run_study(make_volume(), make_study_task(spec), engine)
    assert (result.state, result.backend, result.engine_id) == (ResultState.FINDING, backend, spec.engine_id)
    assert result.answer is not None
    labelmap = result.answer.labelmap
    assert labelmap is not None
    assert labelmap[8:12, 11:19, 10:16].all()
    assert not labelmap[:4].any()
    (measured,) = result.answer.measurements
    voxels = np.count_nonzero(labelmap)
    assert 8 * 12 * 10 * 0.7 < voxels < 8 * 12 * 10 * 1.3
    assert (measured.name, measured.unit, measured.label_id) == ("bright_volume", "mL", 0)
    assert measured.value == pytest.approx(voxels * 0.5 * 0.5 * 5.0 / 1000.0)
    assert measured.u95 == pytest.approx(6.0 * np.hypot(0.003, 0.04) * measured.value)


def test_without_the_uncertainty_of_the_spacing_there_is_a_reason(spec: Any) -> None:
    with FailoverEngine.open(spec, "openvino", threads=1) as engine:
        result = run_study(make_volume(spacing_rel_sd=None), make_study_task(spec), engine)
    (measured,) = result.answer.measurements
    assert measured.value > 0
    assert measured.u95 is None
    assert "spacing" in measured.reason


def test_plain_water_is_no_finding(spec: Any) -> None:
    with FailoverEngine.open(spec, "openvino", threads=1) as engine:
        result = run_study(make_volume(voxels=np.zeros((9, 20, 20), np.int16)), make_study_task(spec), engine)
    assert result.state is ResultState.NO_FINDING
    assert not result.answer.labelmap.any()
    assert result.answer.measurements[0].value == 0.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_does_not_grow_with_the_depth_of_a_volume_in_a_file(spec: Any, tmp_path: Path, backend: str) -> None:
    peaks, path = [], tmp_path / "series.npy"
    for depth in (60, 300):
        voxels = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(depth, 96, 96))
        voxels[10:30, 20:60, 20:60] = 90
        voxels.flush()
        volume = make_volume(voxels=np.load(path, mmap_mode="r"))
        with FailoverEngine.open(spec, backend, threads=1) as engine:
            tracemalloc.start()
            result = run_study(volume, make_study_task(spec), engine, folder=tmp_path / f"out{depth}")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert result.state is ResultState.FINDING
        stored = np.load(tmp_path / f"out{depth}" / "labelmap.npy", mmap_mode="r")
        assert np.count_nonzero(stored[12:28, 22:58, 22:58]) == 16 * 36 * 36
    assert peaks[1] < 1.1 * peaks[0] + 100_000
    whole_bytes = volume.voxels.size * (2 + 4 + 1)  # the series, what the engine gets of it, and the labelmap
    assert peaks[1] < whole_bytes / 5
    assert not list(tmp_path.glob(".*part*"))


def test_files_and_memory_give_the_same(spec: Any, tmp_path: Path) -> None:
    with FailoverEngine.open(spec, "openvino", threads=1) as engine:
        task = make_study_task(spec)
        kept = run_study(make_volume(), task, engine)
        filed = run_study(make_volume(), task, engine, folder=tmp_path / "out")
    np.testing.assert_array_equal(kept.answer.labelmap, filed.answer.labelmap)
    assert kept.answer.measurements == filed.answer.measurements
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labelmap.npy"]


class _FailsAt:
    """An open engine whose back end fails at one call."""

    def __init__(self, engine: Any, call: int) -> None:
        self.spec, self.backend, self._engine, self._left = engine.spec, "failing", engine, call

    def infer(self, inputs: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise BackendFailedError("device lost; restart")
        return self._engine.infer(inputs)

    def close(self) -> None:
        self._engine.close()


def test_another_back_end_answers_alone_where_one_fails_in_the_middle(spec: Any) -> None:
    first, second = (open_engine(spec, name, threads=1) for name in BACKENDS)
    with make_failover(second) as alone:
        expected = run_study(make_volume(), make_study_task(spec), alone)
    second = open_engine(spec, "onnxruntime", threads=1)
    with make_failover(_FailsAt(first, 3), second) as engine:
        result = run_study(make_volume(), make_study_task(spec), engine)
    assert (result.state, result.backend) == (ResultState.FINDING, "onnxruntime")
    assert result.failovers == ("failing failed: device lost; restart",)
    np.testing.assert_array_equal(result.answer.labelmap, expected.answer.labelmap)
    assert result.answer.measurements == expected.answer.measurements


def test_cancelling_in_the_middle_leaves_nothing(spec: Any, tmp_path: Path) -> None:
    cancel, seen = threading.Event(), []

    def watch(stage: str, share: float) -> None:
        seen.append((stage, share))
        if stage == "infer":
            cancel.set()

    with FailoverEngine.open(spec, "openvino", threads=1) as engine:
        result = run_study(
            make_volume(), make_study_task(spec), engine, progress=watch, cancel=cancel, folder=tmp_path / "out"
        )
    assert (result.state, result.cause) == (ResultState.NO_RESULT, StudyCause.INTERRUPTED)
    assert result.answer is None
    assert [stage for stage, _ in seen].count("infer") == 1, "no slab after the one that was under way"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engines", "site"]


def test_a_volume_that_the_task_cannot_process_is_bad_input(spec: Any) -> None:
    with FailoverEngine.open(spec, "openvino", threads=1) as engine:
        result = run_study(make_volume(unit="1"), make_study_task(spec), engine)
    assert (result.state, result.cause) == (ResultState.NO_RESULT, StudyCause.BAD_INPUT)
    assert "must be in HU" in result.reason


def test_an_engine_of_another_task_or_input_is_refused(spec: Any) -> None:
    with pytest.raises(EngineSpecError, match="Bright regions of a CT runs segment, not detect"):
        make_study_task(dataclasses.replace(spec, task="detect"))
    with pytest.raises(EngineSpecError, match="needs one free NCDHW input"):
        make_study_task(dataclasses.replace(spec, input_range=(0.0, 1.0)))
    with pytest.raises(EngineSpecError, match="does not stream"):
        make_task(spec, None, "balanced", None)
