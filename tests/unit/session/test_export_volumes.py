"""Label maps as NRRD and NIfTI, and data sets for YOLO: read back by the libraries of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import usassist.session.export.targets as targets_module
from tests.unit.session.conftest import COUNT, cut_off
from usassist.errors import SessionError, UsageError
from usassist.frames import fill_labelmap
from usassist.records import Segmentation
from usassist.session import open_session
from usassist.session.export import ExportTargets, export_session

HW = (48, 64)
UNANSWERED = {2: ("no_result", "dropped"), 7: ("stale", "late")}
EMPTY = 4


def _rewrite(folder: Path, name: str, change: Any) -> None:
    lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    for line in lines:
        change(line)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def mixed(recorded: Path) -> Path:
    """Odd outlines with track ids 1 and 3 and untracked ones; a frame without a nodule, and two without an answer."""
    rng = np.random.default_rng(5)

    def change(line: dict[str, Any]) -> None:
        number = line["frame_id"]
        region = np.zeros(HW, np.uint8)
        cv2.ellipse(region, (20 + number, 22), (9, 6), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        cv2.line(region, (20 + number, 22), (36 + number, 30), 1, 1)
        contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        line["nodules"][0]["contour_xy_px"] = (contours[0][:, 0] + 0.5).tolist()
        line["nodules"][0]["track_id"] = (1, 3, -1)[number % 3]
        if number == EMPTY:
            line |= {"state": "no_finding", "nodules": []}
        elif number in UNANSWERED:
            state, cause = UNANSWERED[number]
            line |= {"state": state, "cause": cause, "reason": "because"}

    _rewrite(recorded, "results.jsonl", change)
    _rewrite(recorded, "frames.jsonl", lambda line: line.update(spacing_rc_mm=[0.1, 0.2], spacing_rel_sd=0.01))
    return recorded


def _expected(folder: Path, not_tracked: int = 254, no_answer: int = 255) -> np.ndarray:
    planes = []
    for text in (folder / "results.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["frame_id"] in UNANSWERED:
            planes.append(np.full(HW, no_answer))
            continue
        plane = np.zeros(HW, int)
        for nodule in line["nodules"]:
            region = fill_labelmap(Segmentation.of([np.array(nodule["contour_xy_px"], np.float32)]), HW)
            plane[region > 0] = nodule["track_id"] if nodule["track_id"] > 0 else not_tracked
        planes.append(plane)
    return np.array(planes)


def _export(folder: Path, **names: Any) -> list[str]:
    problems: list[str] = []
    export_session(open_session(folder), ExportTargets(**names), problems)
    return problems


def test_nrrd_reads_back_as_a_segmentation_of_slicer(mixed: Path, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed (extra `volumes`)")
    path = tmp_path / "a.seg.nrrd"
    _export(mixed, nrrd=path)
    data, header = nrrd.read(str(path))
    np.testing.assert_array_equal(data.transpose(2, 1, 0), _expected(mixed))
    assert header["kinds"] == ["domain"] * 3
    spacing = open_session(mixed).frames[0].spacing_rc_mm
    assert spacing is not None
    np.testing.assert_allclose(header["space directions"], np.diag([spacing[1], spacing[0], 1.0]))
    assert header["space units"] == ["mm", "mm", "frame"]
    assert float(header["usassist_spacing_rel_sd"]) == open_session(mixed).frames[0].spacing_rel_sd
    names = [key.removesuffix("_ID") for key in header if key.endswith("_ID")]
    segments = {int(header[f"{name}_LabelValue"]): header[f"{name}_ID"] for name in names}
    assert segments == {1: "N1", 3: "N3", 254: "not_tracked", 255: "no_answer"}
    for name in names:
        where = np.argwhere(data == int(header[f"{name}_LabelValue"]))
        extent = np.array([int(value) for value in header[f"{name}_Extent"].split()]).reshape(3, 2)
        np.testing.assert_array_equal(extent, np.stack([where.min(axis=0), where.max(axis=0)], axis=1))
    assert path.stat().st_mode & 0o077 == 0


def test_slicerio_reads_the_segments(mixed: Path, tmp_path: Path) -> None:
    slicerio = pytest.importorskip("slicerio", reason="slicerio is not installed: pip install slicerio")
    _export(mixed, nrrd=tmp_path / "a.seg.nrrd")
    segmentation = slicerio.read_segmentation(str(tmp_path / "a.seg.nrrd"))
    assert {item["name"]: item["labelValue"] for item in segmentation["segments"]} == {
        "N1": 1,
        "N3": 3,
        "not tracked": 254,
        "no answer": 255,
    }
    found = slicerio.extract_segments(segmentation, [("N3", 1)])
    np.testing.assert_array_equal(found["voxels"].transpose(2, 1, 0) == 1, _expected(mixed) == 3)


def test_nrrd_without_segmentation_has_an_axis_of_time(mixed: Path, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed (extra `volumes`)")
    _export(mixed, nrrd=tmp_path / "a.nrrd", with_images=True)
    data, header = nrrd.read(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(data.transpose(2, 1, 0), _expected(mixed))
    assert header["kinds"] == ["space", "space", "time"]
    assert header["units"] == ["mm", "mm", "ms"]
    assert header["spacings"][2] == pytest.approx(1000 / 30, abs=1e-3)
    assert header["label_255"] == "no answer"
    images, header = nrrd.read(str(tmp_path / "a.images.nrrd"))
    assert header["kinds"] == ["RGB-color", "space", "space", "time"]
    for index, (_, image) in enumerate(open_session(mixed).images()):
        assert image is not None
        found = images[:, :, :, index].transpose(2, 1, 0)
        np.testing.assert_array_equal(found, image if image.ndim == 3 else np.dstack([image] * 3))


def test_nifti_reads_back_with_time_as_its_fourth_axis(mixed: Path, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (extra `volumes`)")
    for name in ("a.nii", "b.nii.gz"):
        _export(mixed, nifti=tmp_path / name, with_images=True)
        image = nibabel.load(tmp_path / name)
        data = np.asarray(image.dataobj)
        assert data.dtype == np.uint8
        np.testing.assert_array_equal(data[:, :, 0].transpose(2, 1, 0), _expected(mixed))
        assert image.header.get_xyzt_units() == ("mm", "msec")
        assert image.header.get_zooms()[3] == pytest.approx(1000 / 30, abs=1e-3)
        assert (image.header["qform_code"], image.header["sform_code"]) == (0, 0)
    colours = np.asarray(nibabel.load(tmp_path / "b.images.nii.gz").dataobj)
    shown = dict(zip(range(COUNT), (image for _, image in open_session(mixed).images()), strict=True))
    last = colours[:, :, 0, COUNT - 1].T
    np.testing.assert_array_equal(np.dstack([last[name] for name in "RGB"]), shown[COUNT - 1])


def test_frames_without_an_answer_are_named_beside_the_map(mixed: Path, tmp_path: Path) -> None:
    _export(mixed, nrrd=tmp_path / "a.seg.nrrd")
    document = json.loads((tmp_path / "a.seg.nrrd.json").read_text())
    told = {item["frame_id"]: (item["state"], item["cause"]) for item in document["frames"] if "cause" in item}
    assert told == UNANSWERED
    assert [item["index"] for item in document["frames"]] == list(range(COUNT))
    assert document["frames"][EMPTY]["state"] == "no_finding"
    assert document["values"]["255"] == "no answer"
    assert document["frames"][3]["t_ms"] == pytest.approx(100, abs=0.01)
    assert document["spacing_rel_sd"] == 0.01
    assert [name.partition("@")[0] for name in document["engine_ids"]] == ["thyroid_nodule"]


def test_without_a_common_scale_or_step_no_unit_is_claimed(mixed: Path, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed (extra `volumes`)")
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (extra `volumes`)")

    def change(line: dict[str, Any]) -> None:
        if line["frame_id"] == 5:
            line |= {"spacing_rc_mm": [0.3, 0.3], "pts": None, "time_base": None}
            line["t_capture_ns"] += 15_000_000

    _rewrite(mixed, "frames.jsonl", change)
    manifest = (mixed / "session.toml").read_text()
    assert "realtime = false" in manifest
    (mixed / "session.toml").write_text(manifest.replace("realtime = false", "realtime = true"))
    _export(mixed, nrrd=tmp_path / "a.nrrd", nifti=tmp_path / "a.nii.gz")
    header = nrrd.read_header(str(tmp_path / "a.nrrd"))
    assert header["units"] == ["pixel", "pixel", "ms"]
    assert header["spacings"][:2].tolist() == [1.0, 1.0]
    assert np.isnan(header["spacings"][2])
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.header.get_xyzt_units() == ("unknown", "unknown")
    document = json.loads((tmp_path / "a.nii.gz.json").read_text())
    assert document["step_ms"] is None
    assert document["spacing_rc_mm"] is None
    assert "not the same" in document["spacing_note"]


def test_many_tracks_take_two_bytes(mixed: Path, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed (extra `volumes`)")

    def change(line: dict[str, Any]) -> None:
        for nodule in line["nodules"]:
            nodule["track_id"] = 300 if nodule["track_id"] == 3 else nodule["track_id"]

    _rewrite(mixed, "results.jsonl", change)
    _export(mixed, nrrd=tmp_path / "a.seg.nrrd")
    data, _ = nrrd.read(str(tmp_path / "a.seg.nrrd"))
    assert data.dtype == np.uint16
    np.testing.assert_array_equal(data.transpose(2, 1, 0), _expected(mixed, 65534, 65535))


def test_an_overlap_is_said_and_the_higher_score_is_above(mixed: Path, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed (extra `volumes`)")

    def change(line: dict[str, Any]) -> None:
        if line["frame_id"] == 0:
            first = line["nodules"][0] | {"score": 0.9}
            line["nodules"] = [first, first | {"track_id": 2, "score": 0.5}]

    _rewrite(mixed, "results.jsonl", change)
    problems = _export(mixed, nrrd=tmp_path / "a.seg.nrrd")
    assert [line for line in problems if "overlap on 1 frames" in line]
    data, _ = nrrd.read(str(tmp_path / "a.seg.nrrd"))
    assert set(np.unique(data[:, :, 0])) == {0, 1}
    assert json.loads((tmp_path / "a.seg.nrrd.json").read_text())["frames_with_overlap"] == [0]


def test_frames_whose_pixels_are_lost_are_in_neither_volume(mixed: Path, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed (extra `volumes`)")
    cut_off(mixed / "frames_2.nut", 1500)
    problems = _export(mixed, nrrd=tmp_path / "a.nrrd", with_images=True)
    assert problems
    document = json.loads((tmp_path / "a.nrrd.json").read_text())
    kept = [item["frame_id"] for item in document["frames"]]
    assert document["frames_left_out"] == [number for number in range(COUNT) if number not in kept] != []
    for name in ("a.nrrd", "a.images.nrrd"):
        assert nrrd.read(str(tmp_path / name))[0].shape[-1] == len(kept)


def test_frames_of_two_sizes_are_refused_with_what_to_do(mixed: Path, tmp_path: Path) -> None:
    def change(line: dict[str, Any]) -> None:
        if line["frame_id"] >= 8:
            line["roi_xyxy_px"] = [0, 0, 32, 32]

    _rewrite(mixed, "frames.jsonl", change)
    with pytest.raises(SessionError, match=r"trim .* --to 7, or --from 8"):
        _export(mixed, nrrd=tmp_path / "a.seg.nrrd", csv=tmp_path / "a.csv")
    assert not list(tmp_path.glob("a*"))


def test_yolo_polygons_hold_the_pixels_and_no_finding_is_an_empty_file(mixed: Path, tmp_path: Path) -> None:
    _export(mixed, yolo=tmp_path / "yolo")
    answered = [f"{number:08d}" for number in range(COUNT) if number not in UNANSWERED]
    assert sorted(path.stem for path in (tmp_path / "yolo/images").iterdir()) == answered
    assert sorted(path.stem for path in (tmp_path / "yolo/labels").iterdir()) == answered
    assert (tmp_path / f"yolo/labels/{EMPTY:08d}.txt").read_bytes() == b""
    expected = _expected(mixed) > 0
    for name in answered:
        inside = np.zeros(HW, bool)
        for row in (tmp_path / f"yolo/labels/{name}.txt").read_text().splitlines():
            number, *shares = row.split()
            assert number == "0"
            polygon = np.array(shares, np.float64).reshape(-1, 2) * (HW[1], HW[0])
            assert np.abs(polygon - np.round(polygon)).max() < 1e-4
            corners = np.round(polygon).astype(np.float32).reshape(-1, 1, 2)
            inside |= np.array(
                [[cv2.pointPolygonTest(corners, (x + 0.5, y + 0.5), False) > 0 for x in range(64)] for y in range(48)]
            )
        np.testing.assert_array_equal(inside, expected[int(name)])
        stored = cv2.imread(str(tmp_path / f"yolo/images/{name}.png"), cv2.IMREAD_UNCHANGED)
        assert stored.shape[:2] == HW
    listed = json.loads((tmp_path / "yolo/frames_without_answer.json").read_text())["frames"]
    assert {item["frame_id"]: (item["state"], item["cause"]) for item in listed} == UNANSWERED
    text = (tmp_path / "yolo/data.yaml").read_text()
    assert 'nc: 1\nnames:\n  0: "nodule"\n' in text
    assert "\ntrain: images\nval: images\n" in text


def test_coco_carries_the_marks_of_its_frames(mixed: Path, tmp_path: Path) -> None:
    with (mixed / "marks.jsonl").open("a") as file:
        file.write('{"frame_id":3,"kind":"wrong","t_mark_ns":9,"t_publish_ns":9}\n')
        file.write('{"frame_id":2,"kind":"missed","t_mark_ns":10,"t_publish_ns":10}\n')
        file.write('{"frame_id":6,"kind":"descriptors","t_mark_ns":11,"track_id":1,"descriptors":{"shape":["oval"]}}\n')
    _export(mixed, coco=tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    marks = {image["id"]: image["marks"] for image in document["images"] if "marks" in image}
    assert {number: [mark["kind"] for mark in items] for number, items in marks.items()} == {
        3: ["bookmark", "wrong"],
        5: ["bookmark"],
        6: ["descriptors"],
    }
    assert marks[6] == [{"kind": "descriptors", "t_mark_ns": 11, "track_id": 1, "descriptors": {"shape": ["oval"]}}]
    without = {item["frame_id"]: item for item in document["info"]["frames_without_answer"]}
    assert [mark["kind"] for mark in without[2]["marks"]] == ["missed"]
    assert [category["name"] for category in document["categories"]] == ["nodule"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"nrrd": "x.nii"}, r"is no \.seg\.nrrd"),
        ({"nifti": "x.nrrd"}, r"is no \.nii"),
        ({"csv": "x", "with_images": True}, "give --nrrd or --nifti"),
        ({"nrrd": "x.nrrd", "csv": "x.nrrd.json"}, "the same name"),
        ({"nrrd": "x.nrrd", "yolo": "x.nrrd"}, "the same name"),
    ],
)
def test_names_of_volumes_are_checked(names: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ExportTargets(**{key: Path(name) if isinstance(name, str) else name for key, name in names.items()})


def test_without_nibabel_nothing_is_written(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(UsageError, match=r"pip install 'usassist\[volumes\]'"):
        _export(mixed, nifti=tmp_path / "a.nii", csv=tmp_path / "a.csv")
    assert not list(tmp_path.glob("a*"))


@pytest.mark.parametrize("step", ["write_yolo", "write_volume"])
def test_ctrl_c_leaves_nothing(mixed: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = getattr(targets_module, step)

    def stopped(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(targets_module, step, stopped)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        _export(mixed, yolo=tmp_path / "y", nrrd=tmp_path / "a.nrrd", with_images=True)
    assert sorted(tmp_path.iterdir()) == before


_FULL = """
import resource, sys
from pathlib import Path
from usassist.errors import SessionError
from usassist.session import open_session
from usassist.session.export import ExportTargets, export_session
session, folder = open_session(sys.argv[1]), Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))  # no file may become longer, as on a disk that is full
for names in ({"yolo": folder / "y"}, {"nrrd": folder / "a.seg.nrrd"}):
    try:
        export_session(session, ExportTargets(**names), [])
    except SessionError as error:
        assert "cannot be written" in str(error), error
    else:
        sys.exit(4)
sys.exit(3)
"""


def test_a_disk_without_room_leaves_nothing(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", _FULL, str(mixed), str(tmp_path / "out")]
    run = subprocess.run(command, check=False, timeout=60)
    assert run.returncode == 3
    assert list((tmp_path / "out").iterdir()) == []
