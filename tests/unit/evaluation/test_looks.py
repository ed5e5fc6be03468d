from __future__ import annotations

import pytest

from tests.unit.evaluation.scenes import counted
from usassist.errors import ConfigError, SourceError
from usassist.evaluation.looks import read_looks, require_look
from usassist.evaluation.slices import slices_by_look
from usassist.evaluation.tally import score_frame


def read(tmp_path, text):
    path = tmp_path / "looks.csv"
    path.write_text(text)
    return read_looks(path)


def test_a_look_is_a_word_or_the_original_size(tmp_path):
    assert read(tmp_path, "name,look\na.png,GE S7\nb,GE S7\n") == {"a": "GE S7", "b": "GE S7"}
    sizes = "file,clip,original_width,original_height\n01_000,1,900,600\n24_001,24,687,528\n"
    assert read(tmp_path, sizes) == {"01_000": "900x600", "24_001": "687x528"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,scanner\na,GE\n", "no column look"),
        ("name,original_width\na,900\n", "no column look"),
        ("name,look\na,\n", r"line 2 \(a\): no look"),
        ("name,original_width,original_height\na,900,\n", r"line 2 \(a\): no look"),
        ("name,look\na,x\na,y\n", r"line 3 \(a\): look y, before x"),
    ],
)
def test_a_file_that_does_not_tell_the_look_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_a_missing_file_and_one_of_other_frames_are_refused(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_looks(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="no row for any of the frames"):
        require_look({"a": "x"}, ["b", "c"], tmp_path / "looks.csv")
    require_look({"a": "x"}, ["b", "a"], tmp_path / "looks.csv")


def test_a_look_has_outlines_sizes_and_calibration_of_its_own():
    frames = [
        counted("1_1", [0.9], [[0.8]]),
        counted("2_1", [0.8, 0.7], [[0.1], [0.0]]),
        counted("3_1", [0.9], [[0.9]]),
    ]
    scored = [(frame, score_frame(frame, 0.5)) for frame in frames]
    slices = slices_by_look(scored, {"1_1": "one", "2_1": "two", "3_1": "one"})
    assert list(slices) == ["one", "two"]
    assert slices["one"].dice_mean.value > 0.8
    assert slices["one"].ece.value == pytest.approx(0.1)
    assert slices["one"].diameter_rel_bias.value == 0.0
    assert slices["one"].diameter_rel_sd.value == 0.0
    assert slices["two"].false_positives_per_frame.value == 2.0
    assert slices["two"].ece.value == pytest.approx(0.75)
    assert slices["two"].diameter_rel_bias.count == 0
