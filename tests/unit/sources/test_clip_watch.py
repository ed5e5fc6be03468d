"""Colour and menus in recordings, on synthetic images, and on real clips where the data folder is there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from usassist.common.pyav import av
from usassist.records import SignalState
from usassist.sources import open_source
from usassist.sources.watch import ClipWatch
from usassist.sources.watch.clip_watch import COLOUR_REASON, MENU_REASON

HW = (240, 320)
PERIOD_NS = 40_000_000
LIVE = (SignalState.LIVE, "")
COLOUR = (SignalState.NOT_B_MODE, COLOUR_REASON)
MENU = (SignalState.NOT_B_MODE, MENU_REASON)


def _speckle(seed: int) -> np.ndarray:
    """Grey tissue of every level, uint8 (H, W)."""
    noise = np.random.default_rng(seed).normal(0, 1, HW).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(90 + 220 * smooth, 0, 255).astype(np.uint8)


def _grey(seed: int) -> np.ndarray:
    return np.repeat(_speckle(seed)[..., None], 3, axis=2)


def _power_doppler(seed: int) -> np.ndarray:
    """Flow from red to yellow over a fifth of the image, most of what is bright in it."""
    image = _grey(seed) // 2
    flow = np.clip(_speckle(seed + 1000)[60:180, 80:240].astype(int) + 40, 60, 255)
    image[60:180, 80:240] = np.stack([np.clip(2 * flow, 0, 255), flow, np.zeros_like(flow)], axis=2)
    return image


def _colour_doppler(seed: int) -> np.ndarray:
    image = _grey(seed)
    cv2.ellipse(image, (140, 120), (30, 14), 20, 0, 360, (30, 60, 230), -1)
    cv2.ellipse(image, (190, 130), (30, 14), 20, 0, 360, (230, 50, 30), -1)
    return image


def _judge(images: list[np.ndarray], **options: bool) -> list[tuple[SignalState, str]]:
    watch = ClipWatch(**options)
    return [watch.judge(image, number * PERIOD_NS) for number, image in enumerate(images)]


@pytest.mark.parametrize("make", [_power_doppler, _colour_doppler])
def test_colour_from_the_first_image_on_is_reported_on_every_one(make: Callable[[int], np.ndarray]) -> None:
    assert set(_judge([make(seed) for seed in range(12)])) == {COLOUR}


def test_colour_is_held_between_two_beats_and_not_for_ever() -> None:
    images = [_grey(seed) for seed in range(60)]
    images[10] = _colour_doppler(10)
    states = _judge(images)
    assert states[:10] == [LIVE] * 10
    assert states[10:35] == [COLOUR] * 25, "one second"
    assert states[35:] == [LIVE] * 25


def test_of_separate_stills_only_the_one_with_colour_is_reported() -> None:
    images = [_grey(1), _colour_doppler(2), _grey(3), _power_doppler(4)]
    assert _judge(images, separate=True) == [LIVE, COLOUR, LIVE, COLOUR]


@pytest.mark.parametrize("tint", [(1.15, 0.95, 0.65), (0.6, 0.95, 1.6), (0.3, 0.8, 1.9), (1.4, 0.85, 0.2)])
def test_a_tinted_image_with_calipers_and_a_logo_is_b_mode(tint: tuple[float, float, float]) -> None:
    images = []
    for seed in range(6):
        image = np.clip(_speckle(seed)[..., None] * np.array(tint), 0, 255).astype(np.uint8)
        cv2.putText(image, "+", (150, 120), cv2.FONT_HERSHEY_PLAIN, 1.0, (0, 255, 0), 1)
        cv2.line(image, (40, 200), (250, 60), (255, 255, 0), 1)
        cv2.circle(image, (16, 16), 8, (255, 0, 0), -1)
        images.append(image)
    assert set(_judge(images)) == {LIVE}
    assert set(_judge(images, separate=True)) == {LIVE}


def test_another_tint_in_the_middle_of_a_recording_is_b_mode() -> None:
    sepia = [np.clip(_speckle(seed)[..., None] * (1.15, 0.95, 0.65), 0, 255).astype(np.uint8) for seed in range(8)]
    assert set(_judge([*(_grey(seed) for seed in range(8)), *sepia])) == {LIVE}


def test_a_menu_is_reported_once_it_has_lasted_and_a_still_image_is_none() -> None:
    images = [_speckle(0)] * 40
    opened = _speckle(0)
    opened[40:200, 60:200] = 150
    states = _judge([*images[:10], *[opened] * 10, *images[:20]])
    assert states[:10] == [LIVE] * 10
    assert states[14:20] == [MENU] * 6
    assert states[-10:] == [LIVE] * 10
    assert set(_judge([opened] * 20)) == {LIVE}, "what is there from the start belongs to what was cut out"


def test_dark_flat_tissue_that_comes_and_stays_is_no_menu() -> None:
    dark = _speckle(0)
    dark[80:, :] = 14
    assert set(_judge([*[_speckle(0)] * 10, *[dark] * 20])) == {LIVE}


def test_a_clip_in_power_doppler_has_no_frame_that_is_live(tmp_path: Path) -> None:
    path = tmp_path / "doppler.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = HW
        stream.pix_fmt = "bgr0"
        for seed in range(10):
            image = _grey(seed) if seed < 4 else _power_doppler(seed)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    with open_source(f"clip:{path}", session_id="s", fast=True) as source:
        first = [(frame.picture, frame.picture_reason) for frame in source.frames()]
        assert first == [LIVE] * 4 + [COLOUR] * 6
        assert [(frame.picture, frame.picture_reason) for frame in source.frames()] == first, "played again"


def test_images_in_colour_doppler_carry_the_state(tmp_path: Path) -> None:
    for number, image in enumerate((_grey(1), _colour_doppler(2), _grey(3))):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[..., ::-1])
    with open_source(f"images:{tmp_path}", session_id="s", fast=True) as source:
        assert [frame.picture for frame in source.frames()] == [LIVE[0], COLOUR[0], LIVE[0]]


def data_folder(name: str) -> Path:
    data = os.environ.get("USASSIST_DATA", "")
    if not data or not (Path(data) / name).is_dir():
        pytest.skip(f"USASSIST_DATA names no folder with {name}")
    return Path(data) / name


def test_real_colour_images_in_dicom_are_not_b_mode() -> None:
    folder = data_folder("ultrasound_dicom")
    for name in ("US1_UNCR.dcm", "color-pl.dcm"):
        with open_source(f"dicom:{folder / name}", session_id="s", fast=True, crop="auto") as source:
            assert Counter(frame.picture for frame in source.frames()) == {SignalState.NOT_B_MODE: 1}


def test_a_real_lung_clip_is_b_mode_throughout() -> None:
    path = next(data_folder("ultrasound_clips_lung").rglob("Vir_prospective_file2.mp4"))
    with open_source(f"clip:{path}", session_id="s", fast=True, crop="auto", count=60) as source:
        assert Counter(frame.picture for frame in source.frames()) == {SignalState.LIVE: 60}
