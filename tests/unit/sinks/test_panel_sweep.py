"""The log of the sweep: what is shown of a frame belongs to that frame."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.samples import ENGINE, make_result
from usassist.bus import MarkBody, MarkKind, Plane, Side, decode
from usassist.bus.codec import encode, encode_result
from usassist.bus.topics import TOPICS
from usassist.frames.measure import measure
from usassist.records import Cause, Detections, Frame, Result, ResultState, Segmentation
from usassist.sinks.panel.jpeg import JpegEncoder
from usassist.sinks.panel.packet import Counters, Head, labels_of, nodules_of, pack
from usassist.sinks.panel.sweep import ShownFrame, SweepLog
from usassist.sinks.panel.sweep.moment_view import draw_moment
from usassist.sinks.panel.sweep.nodules_view import area_rows, draw_best_planes, table_rows
from usassist.sinks.panel.sweep.snapshot import make_snapshot
from usassist.sinks.reports import Marks, Recording
from usassist.words import load_words

HEIGHT, WIDTH = 240, 320
PERIOD_NS = 40_000_000
BITS = 12
NO_BREAK = "\u00a0"


def image_of(frame_id: int) -> npt.NDArray[np.uint8]:
    """Twelve stripes across the whole image that say its number, so that every part of it does."""
    bits = [frame_id >> bit & 1 for bit in range(BITS)]
    stripe = np.repeat(np.array([60 + 120 * bit for bit in bits], np.uint8), 4)
    return np.tile(np.tile(stripe, WIDTH // len(stripe) + 1)[:WIDTH], (HEIGHT, 1))


def number_of(image: npt.NDArray[np.uint8], scale: float = 1.0) -> set[int]:
    """Every number that whole runs of stripes in the middle row say, from wherever a crop begins."""
    rows = image.astype(np.float64).mean(axis=2) if image.ndim == 3 else image.astype(np.float64)
    line = np.median(rows[: max(2, image.shape[0] // 12)], axis=0)
    step = 4.0 * scale
    said = set()
    for offset in np.arange(0.0, step * BITS, 1.0):
        places = offset + step * (np.arange(BITS) + 0.5)
        if places[-1] < len(line):
            said.add(sum(int(line[int(place)] > 120) << bit for bit, place in enumerate(places)))
    return said


def finding(frame_id: int, axes: tuple[int, int] = (40, 25), score: float = 0.9, **changes: Any) -> Result:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    contour = np.stack([160 + axes[0] * np.cos(angle), 120 + axes[1] * np.sin(angle)], axis=1).astype(np.float32)
    outlines = Segmentation.of([contour])
    cut = np.full(1, changes.pop("cut", 0), np.uint8)
    spacing = changes.pop("spacing", (0.1, 0.1))
    values = {
        "hw": (HEIGHT, WIDTH),
        "t_capture_ns": frame_id * PERIOD_NS,
        "detections": Detections(
            xyxy_px=np.array([[*contour.min(axis=0), *contour.max(axis=0)]], np.float32),
            score=np.array([score], np.float32),
            label_id=np.zeros(1, np.int32),
            track_id=np.array([changes.pop("track_id", 1)], np.int32),
        ),
        "segmentation": outlines,
        "measurements": measure(outlines, spacing, None if spacing is None else 0.01, 0.05, cut),
    }
    return make_result(frame_id, ResultState.FINDING, **(values | changes))


def add(log: SweepLog, result: Result) -> None:
    log.add(decode(bytes(encode_result(result, result.frame_id, result.t_capture_ns + 1))))


def show(log: SweepLog, result: Result) -> None:
    image = image_of(result.frame_id)
    frame = Frame(
        session_id=result.session_id,
        source_id="us0",
        frame_id=result.frame_id,
        t_capture_ns=result.t_capture_ns,
        image=image,
        roi_xyxy_px=(0, 0, WIDTH, HEIGHT),
    )
    draw = result.state is ResultState.FINDING
    head = Head(
        session_id=result.session_id,
        frame_id=result.frame_id,
        state=result.state.value,
        headline="1 FINDING" if draw else "NO FINDING",
        detail="",
        draw=draw,
        live=True,
        age_ms=10.0,
        image_hw_px=(HEIGHT, WIDTH),
        source="test",
        engine_id=result.engine_id,
        backend="openvino",
        engine_note="",
        intended_use="",
        point="",
        labels=(),
        nodules=nodules_of(result, labels_of(ENGINE), scores_calibrated=False, agreement={}) if draw else (),
        counters=Counters(),
        recording=Recording(),
        marks=Marks(),
        t_ms=result.t_capture_ns / 1e6,
    )
    packet = pack(head, JpegEncoder(90).encode(frame))
    log.show(ShownFrame(frame=frame, result=result, draw=draw, packet=packet, t_ns=result.t_capture_ns))


@pytest.fixture
def log() -> SweepLog:
    log = SweepLog()
    log.add(decode(bytes(encode(TOPICS["engine"], "us0", 0, 0, ENGINE, {}))))
    return log


def mark(log: SweepLog, frame_id: int, **fields: Any) -> None:
    body = MarkBody(session_id=log.session_id, frame_id=frame_id, t_mark_ns=1, **fields)
    log.add(decode(bytes(encode(TOPICS["mark"], "us0", 0, 0, body, {}))))


def test_every_picture_of_a_nodule_shows_the_frame_that_it_names(log: SweepLog) -> None:
    rng = np.random.default_rng(5)
    for frame_id in range(200, 500):
        width = int(rng.integers(20, 60))
        result = finding(frame_id, (width, width // 2 + 5), float(rng.uniform(0.3, 1.0)), track_id=1 + frame_id // 300)
        add(log, result)
        show(log, result)
    nodules, _ = log.nodules(1)
    pictures = [best for nodule in nodules for best in nodule.best]
    assert len(pictures) == 2
    for best in pictures:
        small = cv2.imdecode(np.frombuffer(best.jpeg, np.uint8), cv2.IMREAD_COLOR)
        box = 2 * max(best.seen.major_px / 2, 1)
        scale = 160 / round(max(1.7 * box, 48))
        assert best.frame_id in number_of(small, scale)
        assert best.frame_id + 1 not in number_of(small, scale)
        assert len(best.jpeg) < 12_000


def test_a_kept_frame_is_that_frame_with_its_own_result(log: SweepLog) -> None:
    for frame_id in range(100):
        result = finding(frame_id, (20 + frame_id % 30, 15))
        add(log, result)
        show(log, result)
    words = load_words("en", "sweep")
    seen = 0
    for frame_id in range(100):
        at = log.at(frame_id)
        if at.kept is None:
            continue
        seen += 1
        png = Image.open(io.BytesIO(make_snapshot(at.kept, 90)))
        assert png.text["frame_id"] == str(frame_id)  # type: ignore[attr-defined]
        assert frame_id in number_of(np.asarray(png)[:HEIGHT])
        html = draw_moment(frame_id, log.session_id, at, "", words).replace(NO_BREAK, " ")
        assert f"Frame {frame_id}, " in html
        assert f"frame={frame_id}" in html
        sizes = finding(frame_id, (20 + frame_id % 30, 15)).measurements
        assert html.count("<polygon") == 2
        sent = [round(float(column[0]), 2) for column in (sizes.major_mm, sizes.major_u95_mm) if column is not None]
        assert f"{sent[0]:.1f} ± {sent[1]:.1f} mm" in html
    assert 75 <= seen < 100  # the newest three seconds whole, of the rest every fifth


def test_what_is_no_longer_kept_is_said_to_be_so(log: SweepLog) -> None:
    for frame_id in range(700):
        result = finding(frame_id)
        add(log, result)
        show(log, result)
    assert log.kept(log.session_id, 3) is None
    assert log.kept("another session", 699) is None
    assert "no longer kept" in draw_moment(3, log.session_id, log.at(3), "", load_words("en", "sweep"))
    assert "did not reach" in draw_moment(9999, log.session_id, log.at(9999), "", load_words("en", "sweep"))


def test_a_frame_that_a_page_holds_stays(log: SweepLog) -> None:
    for frame_id in range(700):
        result = finding(frame_id)
        add(log, result)
        show(log, result)
        if frame_id == 50:
            assert log.hold(log.session_id, 50)
    kept = log.kept(log.session_id, 50)
    assert kept is not None
    assert 50 in number_of(np.asarray(Image.open(io.BytesIO(make_snapshot(kept, 90))))[:HEIGHT])
    assert kept.image is not None
    assert not log.hold(log.session_id, 51)


def test_the_largest_diameter_is_a_median_with_the_interval_of_its_own_frame(log: SweepLog) -> None:
    for frame_id in range(50):
        add(log, finding(frame_id, (100, 60) if frame_id == 25 else (40 + frame_id % 3, 25)))
    (nodule,), _ = log.nodules(5)
    largest = nodule.largest
    assert largest is not None
    assert 80 < largest.px < 86  # not the one outline that ran into its surroundings
    own = finding(largest.frame_id, (40 + largest.frame_id % 3, 25)).measurements
    assert largest.mm == pytest.approx(float(own.major_mm[0]))  # type: ignore[index]
    assert largest.u95_mm == pytest.approx(float(own.major_u95_mm[0]))  # type: ignore[index]


def test_a_nodule_that_is_cut_has_a_bound_until_it_is_seen_whole(log: SweepLog) -> None:
    words = load_words("en", "sweep")
    for frame_id in range(20):
        add(log, finding(frame_id, (60, 30), cut=1))
    (nodule,), _ = log.nodules(5)
    assert nodule.largest is not None
    assert nodule.largest.cut
    assert nodule.largest.u95_mm is None
    assert table_rows([nodule], words, calibrated=False)[0][6].startswith("≥")
    for frame_id in range(20, 40):
        add(log, finding(frame_id, (40, 25)))
    (nodule,), _ = log.nodules(5)
    assert nodule.largest is not None
    assert not nodule.largest.cut
    assert "±" in table_rows([nodule], words, calibrated=False)[0][6]
    assert nodule.frames_cut == 20


def test_without_a_scale_sizes_are_pixels(log: SweepLog) -> None:
    words = load_words("en", "sweep")
    for frame_id in range(10):
        add(log, finding(frame_id, spacing=None))
    nodules, _ = log.nodules(5)
    assert table_rows(nodules, words, calibrated=True)[0][6].endswith("px")
    rows, unit = area_rows(nodules, words)
    assert unit == "nodules.area_px"
    assert len(rows) == 10


def test_the_plot_of_an_area_is_broken_where_the_nodule_was_not_seen(log: SweepLog) -> None:
    for frame_id in (*range(20), *range(60, 80)):
        add(log, finding(frame_id))
    rows, unit = area_rows(log.nodules(5)[0], load_words("en", "sweep"))
    assert unit == "nodules.area_mm"
    assert [row["area"] is None for row in rows].count(True) == 1


def test_each_marked_plane_has_its_own_best_frame(log: SweepLog) -> None:
    for frame_id in range(120):
        result = finding(frame_id, (40 - abs(frame_id % 40 - 20), 20))
        add(log, result)
        if frame_id == 40:
            mark(log, 40, kind=MarkKind.PLANE, plane=Plane.TRANSVERSE, side=Side.RIGHT)
        if frame_id == 80:
            mark(log, 80, kind=MarkKind.PLANE, plane=Plane.LONGITUDINAL)
        show(log, result)
    (nodule,), _ = log.nodules(5)
    planes = {best.plane: best for best in nodule.best}
    assert 40 <= planes[Plane.TRANSVERSE].frame_id < 80 <= planes[Plane.LONGITUDINAL].frame_id
    assert planes[None].frame_id < 40
    assert planes[Plane.TRANSVERSE].side is Side.RIGHT
    html = draw_best_planes([nodule], load_words("en", "sweep"), calibrated=False)
    assert f'data-frame="{planes[Plane.TRANSVERSE].frame_id}"' in html
    assert [marked.frame_id for marked, _ in log.marks()] == [40, 80]


def test_what_is_not_shown_is_not_looked_at(log: SweepLog) -> None:
    for frame_id in range(20):
        add(log, finding(frame_id))
    (nodule,), _ = log.nodules(5)
    assert nodule.frames == 20
    assert nodule.best == ()


def test_a_new_session_begins_with_nothing(log: SweepLog) -> None:
    for frame_id in range(20):
        result = finding(frame_id)
        add(log, result)
        show(log, result)
    add(log, finding(0, session_id="20260101T000001Z-000001"))
    nodules, _ = log.nodules(1)
    assert log.columns(10).frames == 1
    assert [nodule.frames for nodule in nodules] == [1]
    assert log.at(5).kept is None
    add(log, finding(20))  # the last of the session before, late
    assert log.columns(10).frames == 1


def test_outlines_that_were_seen_rarely_or_not_tracked_are_counted(log: SweepLog) -> None:
    for frame_id in range(10):
        add(log, finding(frame_id, track_id=frame_id if frame_id < 5 else -1))
    add(log, make_result(10, ResultState.NO_FINDING, t_capture_ns=10 * PERIOD_NS))
    nodules, others = log.nodules(5)
    assert (nodules, others, log.untracked_frames) == ([], 5, 5)


def test_a_click_finds_the_frame_and_rather_one_with_a_picture(log: SweepLog) -> None:
    assert log.frame_near(0.5) is None
    for frame_id in range(101):
        result = finding(frame_id)
        add(log, result)
        if frame_id % 10 == 3:
            show(log, result)
    assert log.frame_near(0.5) == 53
    assert log.frame_near(0.0) == 3
    assert log.frame_near(1.0) in range(93, 101)


def test_a_snapshot_says_what_it_is_below_the_picture_and_in_the_file(log: SweepLog) -> None:
    result = finding(77)
    add(log, result)
    show(log, result)
    kept = log.kept(log.session_id, 77)
    assert kept is not None
    data = make_snapshot(kept, 90, made_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    png = Image.open(io.BytesIO(data))
    assert png.size[0] == WIDTH
    assert png.size[1] > HEIGHT
    pixels = np.asarray(png)[:HEIGHT]
    changed = np.any(pixels != image_of(77)[:, :, None], axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 90
    assert rows.max() < 150  # the outline alone
    assert columns.min() > 115
    text: dict[str, str] = png.text  # type: ignore[attr-defined]
    assert text["session_id"] == log.session_id
    assert text["engine_id"] == result.engine_id
    assert "2026-01-02 03:04:05 UTC" in text["Comment"]
    assert "Not a medical device" in text["Comment"]
    for language in ("de", "ko"):
        other = Image.open(io.BytesIO(make_snapshot(kept, 90, language=language)))
        assert load_words(language, "sweep")("snapshot.research") in other.text["Comment"]  # type: ignore[attr-defined]
    older = make_snapshot(dataclasses.replace(kept, image=None), 90)
    assert "JPEG (quality 90)" in Image.open(io.BytesIO(older)).text["Comment"]  # type: ignore[attr-defined]


def test_frames_without_an_answer_say_why(log: SweepLog) -> None:
    add(log, finding(0))
    add(log, make_result(1, ResultState.NO_RESULT, cause=Cause.NOT_LIVE, t_capture_ns=PERIOD_NS))
    html = draw_moment(1, log.session_id, log.at(1), "", load_words("en", "sweep"))
    assert "no result: the frame was not live" in html
    assert "<polygon" not in html
