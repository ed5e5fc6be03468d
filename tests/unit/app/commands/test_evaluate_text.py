from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from usassist.app.commands.main import app
from usassist.sinks.video import LOSSLESS, VideoWriter


def _session(folder: Path, text: str) -> Path:
    folder.mkdir()
    video = VideoWriter(folder / "frames.mkv", (300, 400), 30.0, LOSSLESS["small"], colour=False)
    lines = []
    for number in range(24):
        rng = np.random.default_rng(number)
        image = np.clip(cv2.GaussianBlur(rng.rayleigh(45, (300, 400)).astype(np.float32), (5, 5), 0), 0, 255)
        image = image.astype(np.uint8)
        if text:
            cv2.putText(image, text, (120, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
        video.write(image, number)
        lines.append(
            {
                "frame_id": number,
                "t_capture_ns": number,
                "pts": None,
                "time_base": None,
                "file": "frames.mkv",
                "channels": 1,
                "roi_xyxy_px": [0, 0, 400, 300],
                "spacing_rc_mm": None,
                "spacing_rel_sd": None,
                "calibration_id": None,
            }
        )
    video.close()
    (folder / "frames.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "session.toml").write_text('schema = [1, 1]\nsession_id = "s"\nsource = { realtime = true }\n')
    return folder


@pytest.mark.parametrize(("text", "code"), [("", 0), ("MUELLER", 1)])
def test_text_in_recorded_frames_is_reported(text: str, code: int, tmp_path: Path) -> None:
    folder = _session(tmp_path / "s", text)
    run = CliRunner().invoke(app, ["eval", "text", str(folder), "--every", "2", "--json"])
    assert run.exit_code == code, run.output
    found = json.loads(run.stdout)
    assert found["checked"] == 12
    assert (found["suspected"] > 0) == bool(text)
