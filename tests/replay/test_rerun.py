"""The reference sessions run again, and changes that must be found."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.golden.sessions.make import SESSIONS, make_again
from tests.recordings import record_session
from tests.replay.conftest import Usassist
from tests.samples import make_frame
from usassist.app.rerun.recording import read_recording
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.recording_facts import recording_facts
from usassist.bus import MessageLogWriter, read_log, result_from
from usassist.bus.codec import encode_result
from usassist.engine import find_engine
from usassist.records import Result, Segmentation
from usassist.session import open_session, read_manifest, whole_message

REFERENCES = Path(__file__).parents[1] / "golden" / "sessions"
SHIPPED = find_engine("thyroid_nodule")
ENGINE = f"{SHIPPED.name}@{SHIPPED.version}"


@pytest.fixture(params=sorted(SESSIONS))
def reference(request: pytest.FixtureRequest) -> Path:
    return REFERENCES / request.param


def _rerun(
    usassist: Usassist, folder: Path | str, *arguments: object, out: str = "again"
) -> tuple[int, dict[str, Any]]:
    run = usassist("rerun", folder, "--diff", "--json", "--out", out, *arguments)
    assert run.returncode in (0, 1), run.stderr
    return run.returncode, json.loads(run.stdout)


def _same_as_here(folder: Path) -> bool:
    """Whether a session says that it was recorded on such a processor with the libraries that are here."""
    here = recording_facts(StreamOptions(source="phantom:seed=1", bus="", engine=ENGINE))
    manifest = read_manifest(folder)
    libraries = ("numpy", "opencv", "openvino", "onnxruntime")
    kind = ("cpu_vendor", "cpu_generation", "cpu_features", "cpu_limits")
    return (
        all(manifest.machine.get(key) == here["machine"][key] for key in kind)
        and manifest.machine["cpu"].split(" x ")[1] == here["machine"]["cpu"].split(" x ")[1]
        and all(manifest.versions[name] == here["versions"].get(name) for name in libraries)
    )


def test_references_are_small_whole_and_show_what_they_are_for(reference: Path) -> None:
    assert sum(path.stat().st_size for path in reference.iterdir()) <= 1e6
    session = open_session(reference)
    assert not session.problems
    assert session.manifest.recording == "closed"
    assert session.manifest.configuration["command"] == f"python -m tests.golden.sessions.make {reference.name}"
    assert {"git", "usassist", "openvino", "numpy", "opencv"} <= session.manifest.versions.keys()
    assert 30 <= len(session.frames) <= 40
    states = {(line.state, line.cause) for line in session.results}
    sizes = {line.roi_xyxy_px for line in session.frames}
    files = {line.file for line in session.frames}
    covered = sum(bool(line.covered_xyxy_px) for line in session.frames)
    ids = [line.frame_id for line in session.frames]
    nodules = [len(json.loads(line)["nodules"]) for line in (reference / "results.jsonl").read_text().splitlines()]
    if reference.name == "sweep":
        assert states == {("finding", None), ("no_finding", None)}
        assert all(line.spacing_rc_mm for line in session.frames)
    elif reference.name == "interrupted":
        assert ("no_result", "not_live") in states
        assert len({str(line.picture) for line in session.frames}) == 3
        assert max(np.diff(ids)) == 6
        assert all(line.t_cropped_ns for line in session.frames)
    else:
        assert (len(sizes), len(files)) == (2, 3)
        assert (max(nodules) >= 1, covered) == (True, 6)


def test_two_reruns_are_equal_to_the_last_bit_and_the_reference_is_met(
    usassist: Usassist, reference: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    code, document = _rerun(usassist, reference, out="first")
    comparison = document["comparison"]
    exact = _same_as_here(reference)
    record_property("compared", "to the last bit" if exact else "within tolerances")
    assert (code, comparison["ok"]) == (0, True), comparison["differences"]
    assert comparison["identical"] is exact
    assert bool(document["within_tolerances_because"]) is not exact
    assert comparison["differences"] == comparison["faults"] == []
    code, again = _rerun(usassist, "first", out="second")  # what was made on this machine is exact, whatever it is
    assert (code, again["same_kind_of_processor"], again["within_tolerances_because"]) == (0, True, None)
    assert again["comparison"]["identical"] is True, again["comparison"]
    first, second = (read_recording(tmp_path / name) for name in ("first", "second"))
    assert again["comparison"]["compared_to_the_last_bit"] == len(first.session.frames)
    frames = [session.session.frames for session in (read_recording(reference), first, second)]
    for before, one, two in zip(*frames, strict=True):
        assert before.frame_id == one.frame_id == two.frame_id
        assert (before.picture, before.picture_reason) == (one.picture, one.picture_reason)
        assert before.spacing_rc_mm == one.spacing_rc_mm


def test_onnxruntime_meets_the_reference_within_the_tolerances_of_the_parity(
    usassist: Usassist, reference: Path
) -> None:
    code, document = _rerun(usassist, reference, "--backend", "onnxruntime")
    comparison = document["comparison"]
    assert (code, comparison["ok"], comparison["identical"]) == (0, True, False), comparison["differences"]
    assert document["rerun"]["backend"] == "onnxruntime"
    assert comparison["compared_to_the_last_bit"] == 0
    assert comparison["compared_within_tolerances"] == comparison["frames_compared"] >= 26


def test_what_cannot_be_compared_is_reported(usassist: Usassist) -> None:
    _, document = _rerun(usassist, REFERENCES / "interrupted", out="a")
    assert document["comparison"]["not_live"] == 10
    assert document["gaps"] == ["frames 20 to 24"]
    _, document = _rerun(usassist, REFERENCES / "changing", out="b")
    assert document["comparison"]["covered_text"]["frames_compared"] == 6
    assert document["comparison"]["frames_compared"] == 26


def test_another_operating_point_is_found_and_shown(usassist: Usassist, tmp_path: Path) -> None:
    run = usassist("rerun", REFERENCES / "sweep", "--diff", "--point", "quiet", "--out", "again")
    assert run.returncode == 1, run.stdout
    assert re.search(r"\d frames differ", run.stdout)
    assert "finding became no finding" in run.stdout
    assert cv2.imread(str(tmp_path / "again" / "differences.png")) is not None


def _planted(reference: Path, folder: Path, change: Callable[[Result], Result | None]) -> Path:
    """A copy of a reference in which results were changed; where None is given, one is taken away."""
    shutil.copytree(reference, folder)
    records = list(read_log(folder / "bus.log"))
    (folder / "bus.log").unlink()
    with MessageLogWriter(folder / "bus.log") as log:
        for record in records:
            message = None if record.without_pixels else whole_message(record)
            if message is None or message.topic.name != "result":
                log.append(record.data, without_pixels=record.without_pixels)
                continue
            changed = change(result_from(message))
            if changed is not None:
                log.append(encode_result(changed, message.seq, message.t_publish_ns))
    return folder


def _shifted(result: Result) -> Result:
    """Frame 20 with its outline two pixels further to the right."""
    if result.frame_id != 20:
        return result
    step = np.array([2.0, 0.0], np.float32)
    return dataclasses.replace(
        result,
        segmentation=Segmentation.of([outline + step for outline in result.segmentation]),
        detections=dataclasses.replace(result.detections, xyxy_px=result.detections.xyxy_px + np.tile(step, 2)),
    )


def _without(result: Result) -> Result | None:
    return None if result.frame_id == 20 else result


def _misnumbered(result: Result) -> Result:
    return dataclasses.replace(result, frame_id=21) if result.frame_id == 20 else result


def test_an_outline_that_moved_is_found_and_shown(usassist: Usassist, tmp_path: Path) -> None:
    folder = _planted(REFERENCES / "sweep", tmp_path / "planted", _shifted)
    code, document = _rerun(usassist, folder, "--sheet", "sheets/moved.png")
    comparison = document["comparison"]
    assert (code, comparison["ok"]) == (1, False)
    assert [item["frame_id"] for item in comparison["differences"]] == [20]
    assert comparison["fields"]["outline"]["differs"] == comparison["fields"]["box"]["differs"] == 1
    assert comparison["fields"]["score"]["differs"] == 0
    assert document["sheet"] == "sheets/moved.png"
    assert cv2.imread(str(tmp_path / "sheets" / "moved.png")) is not None


def test_a_result_that_was_taken_away_or_has_another_number_is_found(usassist: Usassist, tmp_path: Path) -> None:
    for change, fault in (
        (_without, "frame 20 with no result in the recording"),
        (_misnumbered, "frame 21 has two results in the recording"),
    ):
        folder = _planted(REFERENCES / "sweep", tmp_path / change.__name__, change)
        code, document = _rerun(usassist, folder, out=f"again{change.__name__}")
        assert code == 1
        assert fault in document["comparison"]["faults"]


def test_a_new_reference_replaces_the_old_one_and_its_differences_are_printed(tmp_path: Path) -> None:
    folder = _planted(REFERENCES / "sweep", tmp_path / "sweep", _shifted)
    assert make_again("sweep", folder).startswith("OTHER ANSWERS in 1 frames: frame 20: ")
    assert not open_session(folder).problems
    assert make_again("sweep", folder) == "identical answers"
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_of_an_unclosed_recording_what_exists_is_compared_and_the_rest_reported(
    usassist: Usassist, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(REFERENCES / "sweep", folder)
    log = (folder / "bus.log").read_bytes()
    (folder / "bus.log").write_bytes(log[: len(log) // 2])
    manifest = (folder / "session.toml").read_text()
    manifest = manifest[: manifest.index('[files."')].replace('recording = "closed"', 'recording = "running"')
    (folder / "session.toml").write_text(manifest)
    code, document = _rerun(usassist, folder)
    comparison = document["comparison"]
    assert (code, comparison["ok"]) == (0, True), comparison
    assert 10 < comparison["frames_compared"] < 36
    assert any("with no result in the recording" in line for line in comparison["missing"])


def test_another_processor_is_reported_and_is_no_failure(usassist: Usassist, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(REFERENCES / "sweep", folder)
    manifest = (folder / "session.toml").read_text()
    (folder / "session.toml").write_text(re.sub(r'cpu = ".*"', 'cpu = "8 x Abacus"', manifest))
    code, document = _rerun(usassist, folder)
    assert code == 0
    assert document["comparison"]["identical"] is False
    assert "recorded on Abacus" in document["within_tolerances_because"]


def test_with_fewer_instructions_results_are_within_tolerances_and_this_is_reported(
    usassist: Usassist, environment: dict[str, str]
) -> None:
    environment["ONEDNN_MAX_CPU_ISA"] = "AVX"
    code, document = _rerun(usassist, REFERENCES / "sweep")
    comparison = document["comparison"]
    assert (code, comparison["ok"], comparison["identical"]) == (0, True, False), comparison["differences"]
    assert document["same_kind_of_processor"] is False
    assert "ONEDNN_MAX_CPU_ISA=AVX)" in document["within_tolerances_because"]
    run = usassist("rerun", "again", "--diff", "--out", "same")
    assert run.returncode == 0, run.stdout
    assert "recorded on the same kind of processor: " in run.stdout
    assert "to the last bit" in run.stdout
    assert run.stdout.count("identical") >= 2  # the column, and the verdict


def test_a_session_of_a_missing_engine_is_refused_in_one_line(usassist: Usassist, tmp_path: Path) -> None:
    record_session(tmp_path / "foreign", [make_frame(number) for number in range(3)])
    run = usassist("rerun", "foreign", "--diff")
    assert run.returncode == 2
    assert "the session was recorded with thyroid_nodule@0.1.0, which is not installed" in run.stderr
    assert ENGINE in run.stderr
    run = usassist("rerun", "foreign", "--diff", "--engine", ENGINE, "--out", "again", "--json")
    assert run.returncode == 1
    document = json.loads(run.stdout)
    assert any(note.startswith("recorded with thyroid_nodule@0.1.0") for note in document["notes"])
    assert document["comparison"]["frames_compared"] == 3


def test_wrong_use_is_refused_and_leaves_no_files(usassist: Usassist, tmp_path: Path) -> None:
    for arguments, words in (
        ((REFERENCES / "sweep", "--sheet", "x.png"), "give --diff"),
        ((REFERENCES / "sweep", "--diff", "--sheet", "x.jpg"), "end in .png"),
        ((REFERENCES / "sweep", "--point", "loud"), "no operating point loud"),
        ((REFERENCES / "sweep", "--backend", "abacus"), "abacus"),
    ):
        run = usassist("rerun", *arguments, "--out", "again")
        assert run.returncode == 2, run.stderr
        assert words in run.stderr
        assert not (tmp_path / "again").exists()
    run = usassist("rerun", tmp_path)
    assert run.returncode == 1
    assert "holds no recorded session" in run.stderr
    run = usassist("rerun", REFERENCES / "sweep", "--out", REFERENCES / "sweep")
    assert run.returncode == 1
    assert "already holds a session" in run.stderr
