from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from usassist.common.pyav import av
from usassist.errors import SessionError, UsageError
from usassist.phantom import NodulePlan, PhantomConfig, PhantomScanner, read_truth, render_clip

NODULE = NodulePlan(kind="hypo", center_xze_mm=(0.0, 17.0, 0.0), axes_xze_mm=(10.0, 8.0, 6.0), lobulation=0.05)
CONFIG = PhantomConfig(seed=4, screen_hw_px=(360, 640), rate_hz=10.0, sweep_mm=(-6, 6), sweep_s=1.0, nodules=(NODULE,))


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_lossless_clip_has_the_exact_pixels_and_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "sweep.mkv"
    calls: list[tuple[int, int]] = []
    render_clip(
        path, seconds=1.0, config=CONFIG, lossless=True, progress=lambda done, total: calls.append((done, total))
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sweep.mkv", "sweep.truth.jsonl"]
    assert calls == [(k, 10) for k in range(1, 11)]
    frames, truth = decode(path), read_truth(tmp_path / "sweep.truth.jsonl")
    scanner = PhantomScanner(CONFIG)
    assert len(frames) == len(truth.frames) == 10
    assert truth.scan_xyxy_px == scanner.scan_xyxy_px
    assert truth.screen_hw_px == (360, 640)
    assert truth.spacing_rc_mm == pytest.approx(scanner.spacing_rc_mm, abs=1e-4)
    for frame, stored in zip(frames, truth.frames, strict=True):
        shown = scanner.render(stored.t_s)
        np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), shown.screen)
        np.testing.assert_array_equal(stored.labelmap(), shown.labelmap)
        assert [n.identity for n in stored.nodules] == [n.identity for n in shown.nodules]
        for a, b in zip(stored.nodules, shown.nodules, strict=True):
            assert a.major_mm == pytest.approx(b.major_mm, abs=1e-3)
            assert a.xyxy_px == b.xyxy_px
            assert (a.kind, a.cropped, a.axes_xze_mm) == (b.kind, b.cropped, b.axes_xze_mm)
    assert {len(f.nodules) for f in truth.frames} == {0, 1}


def test_small_clip_keeps_the_speckle_and_its_colour_range(tmp_path: Path) -> None:
    path = tmp_path / "sweep.mkv"
    render_clip(path, seconds=1.0, config=CONFIG)
    frames = decode(path)
    assert len(frames) == 10
    assert (frames[0].color_range, frames[0].colorspace) == (1, 1)
    scanner = PhantomScanner(CONFIG)
    for index in (0, 5, 9):
        shown = scanner.render(index / 10.0).screen.astype(float)
        error = frames[index].to_ndarray(format="rgb24").astype(float) - shown
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 32.0
        assert abs(error.mean()) < 1.5
    assert path.stat().st_size < 600_000


def test_failure_leaves_nothing_behind_and_keeps_an_older_clip(tmp_path: Path) -> None:
    path = tmp_path / "sweep.mkv"
    path.write_bytes(b"older")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_clip(path, seconds=1.0, config=CONFIG, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["sweep.mkv"]
    assert path.read_bytes() == b"older"


def test_folder_that_does_not_exist_is_a_session_error(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match=r"sweep\.mkv"):
        render_clip(tmp_path / "none" / "sweep.mkv", seconds=1.0, config=CONFIG)


@pytest.mark.parametrize(("name", "seconds"), [("sweep.mp4", 1.0), ("sweep.mkv", 0.0), ("sweep.mkv", float("nan"))])
def test_wrong_name_or_length_is_a_usage_error(tmp_path: Path, name: str, seconds: float) -> None:
    with pytest.raises(UsageError):
        render_clip(tmp_path / name, seconds=seconds, config=CONFIG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "hello\n", "{}\n", json.dumps({"schema": "usassist.phantom.truth", "version": [2, 0]}) + "\n"]
)
def test_file_that_is_not_a_truth_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.truth.jsonl"
    path.write_text(text)
    with pytest.raises(SessionError, match="truth file"):
        read_truth(path)


def test_missing_truth_file_is_a_session_error(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="check the path"):
        read_truth(tmp_path / "none.jsonl")
