from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.recording_facts import recording_facts, source_kind
from usassist.common.processor import read_processor
from usassist.config import resource_dir
from usassist.engine import find_engine
from usassist.errors import CalibrationError


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("clips/JANE_DOE.mp4", "clip"),
        ("/data/JANE_DOE.mp4", "clip"),
        ("clip:/data/JANE_DOE.mp4", "clip"),
        ("images:/data/JANE_DOE", "images"),
        ("rtsp://user:secret@10.0.0.1/stream", "rtsp"),
        ("v4l2:/dev/video0", "v4l2"),
        ("session:/data/20260101", "session"),
        ("null:frames=60,rate=30", "null:frames=60,rate=30"),
        ("phantom:seed=3", "phantom:seed=3"),
    ],
)
def test_of_a_source_only_its_kind_is_recorded(address: str, kind: str) -> None:
    assert source_kind(address) == kind


def test_facts_name_everything_that_answers_are_made_from_and_no_path(tmp_path: Path) -> None:
    own = tmp_path / "JANE_DOE.toml"
    content = (resource_dir("calibration") / "geometry" / "phantom_demo.toml").read_bytes()
    own.write_bytes(content)
    options = StreamOptions(
        source=f"clip:{tmp_path}/JANE_DOE.mkv", bus="", engine="thyroid_nodule", calibration=str(own)
    )
    facts = recording_facts(options)
    text = json.dumps(facts)
    assert "JANE_DOE" not in text
    assert str(tmp_path) not in text
    spec = find_engine("thyroid_nodule")
    artifacts = facts["engine"]["artifacts"]
    assert artifacts["onnx"] == hashlib.sha256(spec.artifacts["onnx"][0].read_bytes()).hexdigest()
    assert artifacts["engine.toml"] == hashlib.sha256((spec.folder / "engine.toml").read_bytes()).hexdigest()
    geometry, score = facts["calibrations"]
    assert geometry["content"].encode() == content
    assert geometry["sha256"] == hashlib.sha256(content).hexdigest()
    assert (geometry["calibration_id"], score["kind"]) == ("phantom_demo", "score")
    assert facts["configuration"]["engine"] == spec.engine_id
    assert facts["configuration"]["point"] == "balanced"
    assert {"usassist", "python", "numpy", "opencv", "av", "onnxruntime", "openvino"} <= set(facts["versions"])
    machine = facts["machine"]
    here = read_processor()
    assert machine["cpu"] == f"{here.count} x {here.name}"
    assert (machine["cpu_vendor"], machine["cpu_generation"]) == (here.vendor, here.generation)
    assert machine["cpu_features"] == list(here.features) != []
    assert machine["cpu_limits"] == list(here.limits)


def test_a_calibration_that_is_not_there_is_refused() -> None:
    options = StreamOptions(source="null:", bus="", engine="thyroid_nodule", calibration="nix")
    with pytest.raises(CalibrationError, match="no geometry calibration nix"):
        recording_facts(options)
