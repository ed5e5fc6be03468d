"""The main job with findings associated over frames: recorded with drops, and run again to the same answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.replay.test_rerun import _planted
from tests.samples import score_file
from usassist.app.commands.progress import ProgressBar
from usassist.app.rerun import plan, run
from usassist.app.rerun.plan import Overrides
from usassist.app.rerun.recording import read_recording
from usassist.app.rerun.run import rerun_session
from usassist.app.runtime.clip_session import replay
from usassist.app.runtime.open_stream import StreamOptions
from usassist.bus import AssociationBody, TrackingBody, TrackingClock
from usassist.calibrate import load_score_calibration
from usassist.config import RecordConfig
from usassist.engine import find_engine
from usassist.modalities.ultrasound.tracking import RULE
from usassist.records import Result
from usassist.session import read_followed

ENGINE = find_engine("thyroid_nodule")
UNCOVERED = RecordConfig(cover_text=False)  # covered text changes what the engine sees again
ASSOCIATION = "[points.association]\nalone = 0.9\nrise = 0.5\nrelease = 0.1\nframes = 3\niou = 0.3\n"


@pytest.fixture
def scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a calibration whose balanced point has an association; a rerun uses it as if it were shipped."""
    folder = tmp_path / "score"
    folder.mkdir()
    quiet = '[[points]]\nname = "quiet"'
    text = score_file(ENGINE.engine_id).replace(quiet, f"{ASSOCIATION}\n{quiet}")
    (folder / "any_name.toml").write_text(text)

    def plan_here(*arguments: Any) -> Any:
        options, spec, notes = plan.plan_rerun(*arguments)
        return dataclasses.replace(options, score_folder=str(folder)), spec, notes

    monkeypatch.setattr(run, "plan_rerun", plan_here)
    monkeypatch.setattr(plan, "load_score_calibration", lambda engine_id: load_score_calibration(engine_id, folder))
    return folder


def test_a_recording_with_drops_is_run_again_to_the_last_bit(scores: Path, tmp_path: Path) -> None:
    options = StreamOptions(
        source="phantom:seed=12,seconds=2",
        bus="",
        engine=f"{ENGINE.name}@{ENGINE.version}",
        backend="onnxruntime",
        precision="fp32",
        threads=1,
        score_folder=str(scores),
        max_age_ms=1e6,
    )
    with ProgressBar(quiet=True) as progress:
        first = replay(
            options, tmp_path / "first", overlay_video=False, window=None, progress=progress, record=UNCOVERED
        )
        assert first.error is None
        again = rerun_session(
            tmp_path / "first", tmp_path / "again", Overrides(), progress=progress, compare=True, record=UNCOVERED
        )
    assert first.summary["association"] == {"alone": 0.9, "rise": 0.5, "release": 0.1, "frames": 3, "iou": 0.3}
    assert (again.exit_code, again.notes) == (0, ())
    assert again.comparison is not None
    assert again.comparison.identical, again.comparison.as_dict()
    followed, recording = read_followed(tmp_path / "first").frames, read_recording(tmp_path / "first")
    lost = set(followed) - set(recording.side.frame_ids)  # the recorder, too, may have lost frames on a busy machine
    unsettled = again.comparison.unsettled_frames
    assert unsettled <= 3 * len(lost), "where no frame is lost, the memory is the same for every frame"
    assert again.comparison.exact + unsettled == len(followed) - len(lost)
    assert len(followed) == 60 - first.summary["no_answer_by_cause"]["dropped"]
    assert set(followed.values()) <= {None, *followed}, "an answer follows one that was given"
    assert recording.engines[-1].association == AssociationBody(**first.summary["association"])
    assert recording.engines[-1].tracking == TrackingBody(rule=RULE, clock=TrackingClock.CAPTURE_TIME)
    again_of = {result.frame_id: result for result in read_recording(tmp_path / "again").results}
    ids = [result.detections.track_id.tolist() for result in recording.results if len(result.detections)]
    assert ids[0] == list(range(1, 1 + len(ids[0])))
    if not unsettled:  # of frames that were dropped nothing was remembered, so what is found on them has no id
        for result in recording.results:
            expected = result.detections.track_id.tolist()
            found = again_of[result.frame_id].detections.track_id.tolist()
            assert found == expected if result.state.is_answer else set(found) <= {-1}


def test_another_track_id_is_a_difference(scores: Path, tmp_path: Path) -> None:
    options = StreamOptions(
        source="phantom:seed=12,seconds=2",
        bus="",
        engine=f"{ENGINE.name}@{ENGINE.version}",
        backend="onnxruntime",
        score_folder=str(scores),
        fast=True,
    )

    def renumbered(result: Result) -> Result:
        track_id = result.detections.track_id + 1 if result.frame_id == last else result.detections.track_id
        return dataclasses.replace(result, detections=dataclasses.replace(result.detections, track_id=track_id))

    with ProgressBar(quiet=True) as progress:
        replay(options, tmp_path / "first", overlay_video=False, window=None, progress=progress, record=UNCOVERED)
        recorded = read_recording(tmp_path / "first")
        last = max(result.frame_id for result in recorded.results if len(result.detections))
        planted = _planted(tmp_path / "first", tmp_path / "planted", renumbered)
        for folder, differing, exit_code in ((tmp_path / "first", [], 0), (planted, [last], 1)):
            again = rerun_session(
                folder,
                tmp_path / f"again_{folder.name}",
                Overrides(),
                progress=progress,
                compare=True,
                record=UNCOVERED,
            )
            assert again.comparison is not None
            assert [item.frame_id for item in again.comparison.differences] == differing
            assert again.exit_code == exit_code


def test_a_recording_of_each_frame_alone_is_run_again_so(scores: Path, tmp_path: Path) -> None:
    options = StreamOptions(
        source="phantom:seed=12,seconds=2",
        bus="",
        engine=f"{ENGINE.name}@{ENGINE.version}",
        backend="onnxruntime",
        score_folder=str(scores),
        fast=True,
        each_frame_alone=True,
    )
    with ProgressBar(quiet=True) as progress:
        first = replay(
            options, tmp_path / "first", overlay_video=False, window=None, progress=progress, record=UNCOVERED
        )
        again = rerun_session(
            tmp_path / "first", tmp_path / "again", Overrides(), progress=progress, compare=True, record=UNCOVERED
        )
    assert first.summary["association"] is None
    found = [result.detections for result in read_recording(tmp_path / "first").results if len(result.detections)]
    assert found
    assert all((detections.track_id == -1).all() for detections in found), "nothing is tracked"
    assert again.outcome.summary["association"] is None
    assert again.comparison is not None
    assert again.comparison.identical
