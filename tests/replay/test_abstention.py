"""An engine that abstains on half of a clip, from the command line to the recording, the overlay and the exports."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.replay.conftest import Usassist
from tests.samples import bright_engine, bright_screen
from usassist.common.pyav import av
from usassist.sinks.view import STATE_COLOR_RGB

pytest.importorskip("onnx", reason="the engine of these tests is made with onnx")
pytest.importorskip("onnxruntime", reason="the engine of these tests runs on onnxruntime")

FRAMES = 20
ABSTAINED = range(8, 14)


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    return bright_engine(tmp_path / "engines", threshold=0.2)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 360, 560, "gray"
        for number in range(FRAMES):
            screen = bright_screen(number, [(280, 160, 40, 28)])
            screen = np.where(screen < 230, screen // 4, screen) if number in ABSTAINED else screen
            container.mux(stream.encode(av.VideoFrame.from_ndarray(screen.astype(np.uint8), format="gray")))
        container.mux(stream.encode())
    return path


def test_abstention_is_recorded_drawn_exported_and_met_again(
    usassist: Usassist, engines: Path, clip: Path, tmp_path: Path
) -> None:
    options = ("--engine", "bright", "--engines", engines, "--backend", "onnxruntime")
    run = usassist("replay", clip, *options, "--fast", "--overlay-video", "--out", tmp_path / "rec")
    assert run.returncode == 0, run.stderr
    assert "ERROR" not in run.stderr
    summary = json.loads((tmp_path / "rec/summary.json").read_text())
    assert summary["results_by_state"] == {"finding": 14, "no_finding": 0, "no_result": 6, "stale": 0}
    assert {cause: count for cause, count in summary["no_answer_by_cause"].items() if count} == {"out_of_domain": 6}
    assert summary["backend_changes"] == []

    lines = [json.loads(line) for line in (tmp_path / "rec/results.jsonl").read_text().splitlines()]
    for line in lines:
        if line["frame_id"] in ABSTAINED:
            assert (line["state"], line["cause"], line["nodules"]) == ("no_result", "out_of_domain", [])
            assert line["reason"].startswith("not thyroid (0.")
            assert line["reason"].endswith("< 0.20)")
        else:
            assert (line["state"], line["cause"], len(line["nodules"])) == ("finding", None, 1)

    red = np.array(STATE_COLOR_RGB["no_result"])
    with av.open(str(tmp_path / "rec/overlay.mkv")) as container:
        hatched = [
            float((np.abs(frame.to_ndarray(format="rgb24").astype(int) - red).max(axis=2) < 60).mean()) > 0.004
            for frame in container.decode(video=0)
        ]
    assert hatched == [number in ABSTAINED for number in range(FRAMES)]

    again = usassist("rerun", tmp_path / "rec", "--diff", "--json", "--out", tmp_path / "again", "--engines", engines)
    assert again.returncode == 0, again.stdout + again.stderr
    report = json.loads(again.stdout)["comparison"]
    compared = report["frames_compared"] + report["covered_text"]["frames_compared"]  # noise is like text at times
    assert (report["ok"], compared, report["left_out"], report["faults"]) == (True, FRAMES, {}, [])

    exports = ("--csv", tmp_path / "t.csv", "--coco", tmp_path / "c.json")
    assert usassist("session", "export", tmp_path / "rec", *exports).returncode == 0
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["cause"] for row in rows].count("out_of_domain") == 6
    coco = json.loads((tmp_path / "c.json").read_text())
    assert not {image["id"] for image in coco["images"]} & set(ABSTAINED)
    assert {item["cause"] for item in coco["info"]["frames_without_answer"]} == {"out_of_domain"}
    info = usassist("session", "info", tmp_path / "rec", "--json")
    assert json.loads(info.stdout)["no_answer_by_cause"] == {"out_of_domain": 6}


def test_a_doppler_clip_has_no_answer_and_its_rerun_is_the_same(
    usassist: Usassist, engines: Path, tmp_path: Path
) -> None:
    path = tmp_path / "doppler.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 360, 560, "bgr0"
        for number in range(12):
            screen = np.repeat(bright_screen(number, [(280, 160, 40, 28)])[..., None], 3, axis=2)
            if number >= 6:
                cv2.ellipse(screen, (250, 200), (60, 30), 0, 0, 360, (230, 90, 20), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(screen, format="rgb24")))
        container.mux(stream.encode())
    options = ("--engine", "bright", "--engines", engines, "--backend", "onnxruntime", "--fast")
    run = usassist("replay", path, *options, "--out", tmp_path / "rec")
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in (tmp_path / "rec/results.jsonl").read_text().splitlines()]
    assert [line["cause"] for line in lines] == [None] * 6 + ["not_live"] * 6
    assert {line["reason"] for line in lines[6:]} == {"the image shows colour: colour Doppler or another mode"}
    again = usassist("rerun", tmp_path / "rec", "--diff", "--json", "--out", tmp_path / "again", "--engines", engines)
    assert again.returncode == 0, again.stdout + again.stderr
