from __future__ import annotations

import dataclasses
import json
import struct

import msgspec
import numpy as np
import pytest

from tests.samples import DESCRIBED, make_result
from usassist.errors import MessageError
from usassist.records import Detections, Measurements, Result, ResultState, Segmentation
from usassist.sinks.panel.packet import Counters, Head, Label, nodules_of, pack, unpack
from usassist.sinks.reports import Mark, Marks, Recording, RecordingState

LABELS = {0: Label(name="nodule", color_rgb=(255, 196, 0))}


def finding(*, calibrated: bool, label_id: int = 0) -> Result:
    def column(value: float) -> np.ndarray:
        return np.array([value], np.float32)

    lengths = {
        "major_mm": column(12.345),
        "minor_mm": column(8.0),
        "area_mm2": column(70.0),
        "major_u95_mm": column(0.81),
        "minor_u95_mm": column(0.6),
        "area_u95_mm2": column(5.0),
    }
    return Result(
        session_id="s1",
        source_id="us0",
        frame_id=7,
        t_capture_ns=1,
        t_infer_start_ns=2,
        t_infer_end_ns=3,
        engine_id="e@1.0.0+0",
        backend="openvino",
        calibration_id=None,
        image_hw_px=(80, 100),
        frames_dropped=0,
        state=ResultState.FINDING,
        detections=Detections(
            xyxy_px=np.array([[10, 20, 40.26, 50]], np.float32),
            score=column(0.91234),
            label_id=np.array([label_id], np.int32),
            track_id=np.array([3], np.int32),
        ),
        segmentation=Segmentation.of([np.array([[10.04, 20.06], [40.26, 20], [40, 50]], np.float32)]),
        measurements=Measurements(
            major_px=column(61.7), minor_px=column(40), area_px2=column(2000), **(lengths if calibrated else {})
        ),
    )


def described() -> Result:
    return dataclasses.replace(finding(calibrated=True), descriptors=DESCRIBED)


def head(**changes: object) -> Head:
    base = Head(
        session_id="s1",
        frame_id=7,
        state="finding",
        headline="1 FINDING",
        detail="",
        draw=True,
        live=True,
        age_ms=21.5,
        image_hw_px=(80, 100),
        source="µ-scanner",
        engine_id="e@1.0.0+0",
        backend="openvino",
        engine_note="",
        intended_use="research",
        labels=tuple(LABELS.values()),
        point="balanced: finds 95 of 100 nodules",
        nodules=nodules_of(described(), LABELS, scores_calibrated=True, agreement={"echogenicity": "kappa 0.4"}),
        counters=Counters(shown=3, by_cause={"late": 1}),
        recording=Recording(state=RecordingState.RUNNING, elapsed_s=1.0),
        marks=Marks(counts={"wrong": 1}, latest=(Mark(frame_id=7, kind="wrong", t_ms=1.0),)),
        t_ms=1234.5,
    )
    return msgspec.structs.replace(base, **changes)


def test_a_packet_comes_back_as_it_was() -> None:
    assert unpack(pack(head(), b"\xff\xd8picture")) == (head(), b"\xff\xd8picture")


def test_a_packet_without_an_image_comes_back_as_it_was() -> None:
    before_first = head(session_id=None, frame_id=None, image_hw_px=None, nodules=(), draw=False)
    assert unpack(pack(before_first)) == (before_first, b"")


def test_the_layout_is_length_json_jpeg() -> None:
    data = pack(head(), b"JPEG")
    (length,) = struct.unpack_from("<I", data)
    document = json.loads(data[4 : 4 + length])
    assert data[4 + length :] == b"JPEG"
    assert document["nodules"][0]["contour"] == [[10.0, 20.1], [40.3, 20.0], [40.0, 50.0]]
    assert document["nodules"][0]["major_mm"] == 12.35 or document["nodules"][0]["major_mm"] == 12.34
    assert document["labels"] == [{"name": "nodule", "color_rgb": [255, 196, 0]}]


def test_an_uncalibrated_finding_has_no_millimetres() -> None:
    (nodule,) = nodules_of(finding(calibrated=False), LABELS, scores_calibrated=False, agreement={})
    assert (nodule.major_px, nodule.minor_px) == (61.7, 40.0)
    assert nodule.major_mm is nodule.major_u95_mm is nodule.minor_mm is nodule.minor_u95_mm is None


def test_a_nodule_that_the_border_cuts_is_marked_and_has_no_interval_in_words() -> None:
    result = make_result()
    sizes = dataclasses.replace(result.measurements, cut=np.ones(1, np.uint8))
    for measurements, cut in ((result.measurements, False), (sizes, True)):
        shown = dataclasses.replace(result, measurements=measurements)
        (nodule,) = nodules_of(shown, LABELS, scores_calibrated=False, agreement={})
        assert nodule.cut is cut
        assert len(nodule.measures) == 2
        assert ("±" in nodule.measures[0]) is not cut


def test_calipers_stand_at_both_diameters_and_where_the_border_cuts_at_the_longest_alone() -> None:
    result = make_result()
    sizes = result.measurements
    cut = dataclasses.replace(sizes, cut=np.ones(1, np.uint8))
    before = dataclasses.replace(sizes, major_ends_xy_px=None, minor_ends_xy_px=None)
    whole, seen, old = (
        nodules_of(dataclasses.replace(result, measurements=one), LABELS, scores_calibrated=False, agreement={})[0]
        for one in (sizes, cut, before)
    )
    assert np.hypot(*np.ptp(whole.major_ends_xy_px, axis=0)) == pytest.approx(whole.major_px, abs=0.15)
    assert np.hypot(*np.ptp(whole.minor_ends_xy_px, axis=0)) == pytest.approx(whole.minor_px, abs=0.15)
    assert (seen.major_ends_xy_px, seen.minor_ends_xy_px) == (whole.major_ends_xy_px, [])
    assert old.major_ends_xy_px == old.minor_ends_xy_px == []


def test_a_label_that_was_not_announced_is_an_error() -> None:
    with pytest.raises(LookupError):
        nodules_of(finding(calibrated=True, label_id=4), LABELS, scores_calibrated=False, agreement={})


def test_a_descriptor_comes_with_its_basis_and_its_agreement() -> None:
    (nodule,) = nodules_of(described(), LABELS, scores_calibrated=True, agreement={"echogenicity": "kappa 0.4"})
    (descriptor,) = nodule.descriptors
    assert (descriptor.name, descriptor.value) == ("echogenicity", "hypoechoic")
    assert (descriptor.basis, descriptor.agreement) == ("estimated", "kappa 0.4")


@pytest.mark.parametrize("descriptors", [(), ((),)])
def test_a_nodule_that_nothing_is_said_about_has_no_descriptors(descriptors: tuple) -> None:
    result = dataclasses.replace(finding(calibrated=True), descriptors=descriptors)
    (nodule,) = nodules_of(result, LABELS, scores_calibrated=True, agreement={"echogenicity": "kappa 0.4"})
    assert nodule.descriptors == ()


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff\xff\xff\xff{}", struct.pack("<I", 2) + b"{}", b"\x01\0\0\0\xff"])
def test_bytes_that_are_no_packet_are_refused(data: bytes) -> None:
    with pytest.raises(MessageError, match="reload the page"):
        unpack(data)
