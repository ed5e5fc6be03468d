"""What the viewer of slices fetches: planes as they were read, each with what was found on it, and by secret alone."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from usassist.app.demo.studies.bundle import Curve, Findings, Label, Preset, read_overview, read_packet, write_bundle
from usassist.app.demo.studies.limits import StudyLimits, check_shape, check_zip, stored_study_name
from usassist.app.demo.studies.routes import RESULT, study_routes
from usassist.app.demo.visits import Visits
from usassist.common.clock import MonotonicClock
from usassist.errors import UsageError, VolumeError
from usassist.volumes import Volume

PRESETS = [Preset("wide", 4000, 0)]


def make_volume(voxels: np.ndarray) -> Volume:
    return Volume(
        session_id="s",
        source_id="ct0",
        series_id="0123456789ab",
        modality="CT",
        voxels=voxels,
        affine_ijk_to_lps_mm=np.diag([0.5, 0.7, 5.0, 1.0]),
        unit="HU",
    )


def unpack(data: bytes, shape_yx: tuple[int, int]) -> tuple[dict, np.ndarray, list[np.ndarray]]:
    (length,) = struct.unpack_from("<I", data)
    head = json.loads(data[4 : 4 + length])
    payload = zlib.decompress(data[4 + length :])
    area = shape_yx[0] * shape_yx[1]
    stored = np.frombuffer(payload[: 2 * area], "<i2").reshape(shape_yx)
    rest = [np.frombuffer(payload[at : at + area], np.uint8) for at in range(2 * area, len(payload), area)]
    return head, stored, [plane.reshape(shape_yx) for plane in rest]


def test_every_plane_is_exact_and_has_its_own_labels_and_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    voxels = rng.integers(-32768, 32767, (4, 6, 9), np.int16, endpoint=True)
    labelmap, heat = np.zeros((4, 6, 9), np.uint8), np.zeros((4, 6, 9), np.uint8)
    labelmap[1, 2, 3], heat[2, 4, 5] = 2, 200
    found = Findings(
        state="finding",
        labelmap=labelmap,
        heat=heat,
        labels=[Label(2, "bleed", (255, 0, 0))],
        curves=[Curve("bleed", [0.1, 0.9, 0.4, 0.0], 0.5)],
        marks=[1],
        first=1,
    )
    write_bundle(tmp_path, make_volume(voxels), PRESETS, found)
    overview = read_overview(tmp_path)
    assert (overview.shape_zyx, overview.slope, overview.intercept, overview.digits) == ((4, 6, 9), 1.0, 0.0, 0)
    assert (overview.state, overview.marks, overview.first, overview.has_heat) == ("finding", [1], 1, True)
    for z, planes in enumerate(([], [labelmap[1]], [heat[2]], [])):
        head, stored, rest = unpack(read_packet(tmp_path, z), (6, 9))
        assert (head["index"], head["labels"], head["heat"]) == (z, int(z == 1), int(z == 2))
        np.testing.assert_array_equal(stored, voxels[z])
        assert len(rest) == len(planes)
        for came, sent in zip(rest, planes, strict=True):
            np.testing.assert_array_equal(came, sent)
    with pytest.raises(IndexError):
        read_packet(tmp_path, 4)


def test_floats_are_scaled_to_a_hundredth_of_a_thousandth_of_their_range(tmp_path: Path) -> None:
    voxels = np.linspace(-3.0, 700.0, 60, dtype=np.float32).reshape(3, 4, 5)
    overview = write_bundle(tmp_path, make_volume(voxels), PRESETS)
    _, stored, _ = unpack(read_packet(tmp_path, 1), (4, 5))
    np.testing.assert_allclose(stored * overview.slope + overview.intercept, voxels[1], atol=703e-5)
    assert overview.state == "none"  # nobody has looked for anything


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    voxels = np.zeros((2, 3, 3), np.float32)
    voxels[1, 1, 1] = np.nan
    with pytest.raises(VolumeError, match="not finite"):
        write_bundle(tmp_path, make_volume(voxels), PRESETS)
    assert not (tmp_path / "slices.json").exists()


def test_planes_and_files_are_given_to_those_who_have_the_secret_alone(tmp_path: Path) -> None:
    visits = Visits(tmp_path, MonotonicClock())
    visit, other = visits.of("one"), visits.of("two")
    folder = visit.new_answer("study")
    folder.mkdir()
    write_bundle(folder, make_volume(np.zeros((2, 3, 3), np.int16)), PRESETS)
    (folder / RESULT).mkdir()
    (folder / RESULT / "result.json").write_text("{}")
    (folder / RESULT / "secret.txt").write_text("no")
    (visit.folder / "study.dcm").write_text("no")
    client = TestClient(Starlette(routes=study_routes(visits)))
    base = f"/study/{visit.secret}/{folder.name}"
    assert client.get(f"{base}/overview").json()["shape_zyx"] == [2, 3, 3]
    answer = client.get(f"{base}/1")
    assert answer.content == read_packet(folder, 1)
    assert answer.headers["cache-control"] == "no-store"
    download = client.get(f"{base}/result.json")
    assert download.headers["content-disposition"] == 'attachment; filename="usassist-result.json"'
    for name in ("2", "-1", "99999999", "secret.txt", "slices.bin", "..%2fstudy.dcm", "%2e%2e", "montage.png"):
        assert client.get(f"{base}/{name}").status_code == 404, name
    assert client.get(f"/study/{other.secret}/{folder.name}/overview").status_code == 404
    assert client.get(f"/study/{visit.secret}/%2e%2e/overview").status_code == 404
    visits.end("one")
    assert client.get(f"{base}/overview").status_code == 404
    assert visit.study_stop.is_set()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Smith^Jane.zip", "study.zip"),
        ("IM0001", "study"),
        ("1.2.840.113619.2.55.3", "study"),
        ("../../head.NII.GZ", "study.nii.gz"),
        ("head.nii", "study.nii"),
        ("slice.DCM", "study.dcm"),
    ],
)
def test_a_study_is_kept_under_a_name_that_is_not_its_own(name: str, kept: str) -> None:
    assert stored_study_name(name, 10) == kept


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [("a.exe", 10, "is not taken"), ("a.zip", 0, "is empty"), ("a.zip", 2**30, "at most 200 MiB")],
)
def test_other_files_are_refused(name: str, size: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        stored_study_name(name, size)


def test_a_zip_is_judged_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"{number}.dcm", bytes(2**20))
    check_zip(path)
    with pytest.raises(UsageError, match="unpacks to 4 MiB and at most 3"):
        check_zip(path, StudyLimits(unpacked_bytes=3 * 2**20))
    with pytest.raises(UsageError, match="has 4 files"):
        check_zip(path, StudyLimits(zip_files=3))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UsageError, match="cannot be read"):
        check_zip(path)


def test_a_series_is_judged_by_its_voxels_before_it_is_read() -> None:
    check_shape((600, 512, 512))
    for shape in ((601, 512, 512), (1, 50_000, 50_000), (2, 10, 4096)):
        with pytest.raises(UsageError, match="are taken"):
            check_shape(shape)
