"""A recorded sweep as structured report and segmentations: read back, its numbers are those of its own report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.sweeps import Moment, Shown, mark, record_sweep
from usassist.bus import MarkKind, Plane, Side
from usassist.dicom.objects.content import FrameReference
from usassist.frames import fill_labelmap
from usassist.records import Cause, Segmentation
from usassist.session import open_session
from usassist.session.export.dicom import export_dicom
from usassist.session.summary import summarise

pytest.importorskip("highdicom", reason="highdicom is missing: pip install 'usassist[dicom]'")
import highdicom as hd
from highdicom.sr import srread

SIZES = {
    "longest_diameter": "Long Axis",
    "across": "Short Axis",
    "ap": "Extent along the beam (AP in a transverse plane)",
    "transverse": "Extent across the beam (transverse in such a plane)",
    "area": "Area",
}


def _numbers(groups: list, tracking_uid: str, frame: FrameReference) -> dict[str, tuple[float, str, float | None]]:
    """Name → value, unit, half-width, of the groups of a nodule on one frame."""
    found = {}
    for group in groups:
        frames = {
            (source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber"))
            for item in group[0].ContentSequence
            for image in [item, *item.get("ContentSequence", ())]
            if image.ValueType == "IMAGE"
            for source in image.ReferencedSOPSequence
        }
        if group.tracking_uid != tracking_uid or frames != {(frame.sop_instance_uid, frame.frame_number)}:
            continue
        for item in group[0].ContentSequence:
            if item.ValueType == "NUM":
                around = [child.value for child in item.get("ContentSequence", ()) if child.ValueType == "NUM"]
                assert len(set(around)) <= 1 or item.name.value == "AP_T"
                found[item.name.meaning] = (item.value, item.unit.value, around[0] if around else None)
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nodules, one of them in both planes; a part without an answer, and one without a scale."""
    wide, long = Shown(track_id=1, axes=(20, 12)), Shown(track_id=1, axes=(28, 12))
    small = Shown(track_id=2, axes=(9, 8), center=(40, 40))
    moments = [
        *[Moment(nodules=(wide, small))] * 6,
        *[Moment(nodules=(long,))] * 6,
        *[Moment(cause=Cause.OUT_OF_DOMAIN)] * 2,
        *[Moment(nodules=(Shown(track_id=3, center=(100, 80)),), scaled=False)] * 5,
    ]
    marks = (
        mark(0, MarkKind.PLANE, plane=Plane.TRANSVERSE, side=Side.RIGHT),
        mark(6, MarkKind.PLANE, plane=Plane.LONGITUDINAL, side=Side.RIGHT),
    )
    return record_sweep(tmp_path_factory.mktemp("numbers") / "session", moments, marks)


def test_numbers_are_those_of_the_report_of_the_sweep(recorded: Path, tmp_path: Path) -> None:
    session = open_session(recorded)
    document = summarise(session)
    content = export_dicom(session, tmp_path / "out", only=("report",)).content
    report = srread(tmp_path / "out" / "report.dcm").content
    planar, whole = report.get_planar_roi_measurement_groups(), report.get_image_measurement_groups()
    frame_of = {frame.frame_id: content.reference(index) for index, frame in enumerate(content.frames)}
    uids = {group.tracking_identifier: group.tracking_uid for group in planar}
    assert set(uids) == {nodule.name for nodule in document.nodules} == {"N1", "N2", "N3"}
    for nodule in document.nodules:
        for section in (nodule.best, nodule.transverse, nodule.longitudinal):
            if section is None:
                continue
            numbers = _numbers([*planar, *whole], uids[nodule.name], frame_of[section.frame_id])
            for name, meaning in SIZES.items():
                size = section.sizes[name]
                assert size is not None
                unit = "{pixels}" if size.mm is None else "mm2" if name == "area" else "mm"
                value = size.px if size.mm is None else size.mm
                assert numbers[meaning] == (value, unit, size.u95_mm)
            assert numbers["Certainty of Finding"][0] == 100.0 * section.score
    first = document.nodules[0]
    assert first.dimensions is not None
    volumes = [
        item.value
        for group in whole
        for item in group[0].ContentSequence
        if item.ValueType == "NUM" and item.name.meaning == "Volume of ellipsoid"
    ]
    assert volumes == [first.dimensions.volume_ml.value]


def test_masks_are_the_recorded_outlines(recorded: Path, tmp_path: Path) -> None:
    session = open_session(recorded)
    document = summarise(session)
    export_dicom(session, tmp_path / "out", only=("seg", "labelmap"))
    wanted = {nodule.best.frame_id for nodule in document.nodules}
    images = {line.frame_id: image for line, image in session.wanted_images(wanted, [])}
    with session.result_reader() as read:
        for nodule in document.nodules:
            result = read(nodule.best.frame_id)
            assert result is not None
            found = next(item for item in result["nodules"] if item["track_id"] == nodule.track_id)
            outline = np.asarray(found["contour_xy_px"], np.float32)
            mask = fill_labelmap(Segmentation.of([outline]), images[nodule.best.frame_id].shape[:2])
            for name in (f"seg_{nodule.name}.dcm", f"seg_{nodule.name}_labelmap.dcm"):
                made = hd.seg.segread(tmp_path / "out" / name)
                source = made.get_source_image_uids()[0][2]
                key = next(
                    item
                    for item in map(pydicom.dcmread, sorted((tmp_path / "out").glob("key_*.dcm")))
                    if source == item.SOPInstanceUID
                )
                np.testing.assert_array_equal(key.pixel_array, images[nodule.best.frame_id])
                pixels = made.get_pixels_by_source_instance([source], combine_segments=True)
                np.testing.assert_array_equal(pixels[0], mask)
