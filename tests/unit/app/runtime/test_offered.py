from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.ct_engine import install_ct_engine
from usassist.app.runtime.offered import Offered, name_sources
from usassist.app.runtime.open_stream import StreamOptions
from usassist.bus import ControlAction
from usassist.engine import find_engine
from usassist.errors import UsAssistError

STREAM = StreamOptions(
    source="null:rate=30,size=96x160", bus="", engine="thyroid_nodule", crop="1,2,30,40", calibration="phantom_demo"
)


def test_names_of_sources_hold_neither_path_nor_password_and_tell_them_apart() -> None:
    names = name_sources(
        [
            "v4l2:/dev/video0",
            "rtsp://anna:secret@10.0.0.7:8554/kim",
            "rtsp://10.0.0.7:8554/other",
            "/home/kim/kim_1961.mp4",
            "loop:/home/kim/other.mp4",
            "null:rate=30",
            "null:rate=30",
        ]
    )
    assert list(names) == [
        "v4l2:/dev/video0",
        "rtsp://10.0.0.7:8554",
        "rtsp://10.0.0.7:8554 (2)",
        "clip",
        "loop",
        "null:rate=30",
    ]
    assert names["rtsp://10.0.0.7:8554"] == "rtsp://anna:secret@10.0.0.7:8554/kim"


def test_engines_for_studies_are_neither_offered_nor_taken(tmp_path: Path) -> None:
    spec = install_ct_engine(tmp_path)
    streamed = find_engine("thyroid_nodule")
    (tmp_path / "thyroid_nodule").mkdir()
    (tmp_path / "thyroid_nodule" / streamed.version).symlink_to(streamed.folder)
    offered = Offered(dataclasses.replace(STREAM, engines=str(tmp_path)))
    assert offered.engines() == (f"thyroid_nodule@{streamed.version}",)
    assert offered.precisions() == ("auto", *streamed.precisions)
    with pytest.raises(UsAssistError, match="does not stream"):
        offered.change(dataclasses.replace(STREAM, engines=str(tmp_path)), ControlAction.ENGINE, spec.name)


def test_another_source_gets_neither_the_scan_area_nor_the_scale_of_the_first() -> None:
    offered = Offered(STREAM, ["null:rate=5"])
    other = offered.change(STREAM, ControlAction.SOURCE, "null:rate=5")
    assert (other.source, other.crop, other.calibration) == ("null:rate=5", "auto", None)
    back = offered.change(dataclasses.replace(other, point="quiet"), ControlAction.SOURCE, STREAM.source)
    assert back == dataclasses.replace(STREAM, point="quiet")


def test_the_whole_screen_stays_the_whole_screen() -> None:
    uncalibrated = dataclasses.replace(STREAM, crop="none", calibration=None, scale="none")
    other = Offered(uncalibrated, ["null:rate=5"]).change(uncalibrated, ControlAction.SOURCE, "null:rate=5")
    assert (other.crop, other.scale) == ("none", "none")


@pytest.mark.parametrize(
    ("action", "value", "words"),
    [
        (ControlAction.SOURCE, "/etc/passwd", "was offered"),
        (ControlAction.ENGINE, "nothing", "no engine nothing"),
        (ControlAction.PRECISION, "int3", "no precision int3"),
        (ControlAction.POINT, "perfect", "no operating point perfect"),
    ],
)
def test_what_is_not_there_is_refused_before_the_stream_is_touched(
    action: ControlAction, value: str, words: str
) -> None:
    with pytest.raises(UsAssistError, match=words):
        Offered(STREAM).change(STREAM, action, value)


def test_what_is_so_already_is_no_change() -> None:
    offered = Offered(STREAM)
    for action, value in (
        (ControlAction.SOURCE, STREAM.source),
        (ControlAction.ENGINE, "thyroid_nodule"),
        (ControlAction.PRECISION, "auto"),
        (ControlAction.POINT, "balanced"),
    ):
        assert offered.change(STREAM, action, value) is STREAM
    assert offered.change(STREAM, ControlAction.POINT, "quiet").point == "quiet"


def test_the_page_gets_names_and_what_is_chosen() -> None:
    choices = Offered(STREAM, ["null:rate=5"]).choices(dataclasses.replace(STREAM, precision="int8"))
    assert choices.sources[:2] == (STREAM.source, "null:rate=5")
    assert (choices.source, choices.precision) == (STREAM.source, "int8")
    assert any(name.startswith("thyroid_nodule@") for name in choices.engines)


def test_a_grabber_that_is_gone_is_refused(tmp_path: Path) -> None:
    offered = Offered(STREAM, ["v4l2:/dev/video4711"])
    with pytest.raises(UsAssistError, match="it is not there any more"):
        offered.change(STREAM, ControlAction.SOURCE, "v4l2:/dev/video4711")
