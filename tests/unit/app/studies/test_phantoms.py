import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from usassist.app.commands.phantom import phantom_app
from usassist.app.studies.phantoms import make_head_study, write_phantom
from usassist.errors import StudyError, UsageError
from usassist.sources.volumes import list_series, read_labelmap, read_volume


def run(*arguments: str) -> dict[str, object]:
    done = CliRunner().invoke(phantom_app, ["ct", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_a_head_is_read_as_it_was_made_with_its_truth_on_the_same_grid(tmp_path: Path) -> None:
    out, truth = tmp_path / "head", tmp_path / "truth.nii.gz"
    size = ("--slices", "8", "--size", "64", "--bleed", "extra_axial")
    document = run("head", "--out", str(out), *size, "--truth", str(truth))
    study = read_volume(out, session_id="study-1")
    made = make_head_study(seed=1, slices=8, size=64, bleed="extra_axial")
    np.testing.assert_array_equal(study.volume.voxels, made.volume.voxels)
    assert study.facts.body_part == "HEAD"
    assert study.facts.problems == ()
    labels, affine = read_labelmap(truth)
    np.testing.assert_allclose(affine, study.volume.affine_ijk_to_lps_mm, atol=1e-3)
    said = document["truth"]
    assert isinstance(said, dict)
    assert said["volume_ml"] == pytest.approx((labels == 13).sum() * study.volume.voxel_volume_mm3 / 1e3, abs=1e-3)
    assert said["volume_ml"] > 0


def test_an_abdomen_has_its_vertebrae_within_the_volume_and_what_an_index_needs(tmp_path: Path) -> None:
    document = run("abdomen", "--out", str(tmp_path / "abdomen"), "--slices", "10", "--size", "64", "--seed", "3")
    (facts,) = list_series(tmp_path / "abdomen")
    assert (facts.body_part, facts.patient.height_m, facts.patient.sex) == ("ABDOMEN", 1.7, "M")
    affine = read_volume(tmp_path / "abdomen", session_id="study-1").volume.affine_ijk_to_lps_mm
    said = document["truth"]
    assert isinstance(said, dict)
    levels = said["vertebrae_z_mm"]
    assert next(iter(levels)) in ("L5", "T11")
    assert all(affine[2, 3] <= z <= affine[2, 3] + 9 * affine[2, 2] for z in levels.values())


def test_nifti_holds_the_same_voxels(tmp_path: Path) -> None:
    made = make_head_study(seed=2, slices=4, size=48, bleed="none", scratch=tmp_path)
    write_phantom(made, tmp_path / "head.nii.gz", nifti=True)
    read = read_volume(tmp_path / "head.nii.gz", session_id="study-1").volume
    np.testing.assert_array_equal(read.voxels, made.volume.voxels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.nii.gz"]  # the scratch file has no name


def test_what_cannot_be_written_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    made = make_head_study(seed=2, slices=1, size=32, bleed="none")
    (tmp_path / "there").mkdir()
    with pytest.raises(StudyError, match="exists already"):
        write_phantom(made, tmp_path / "there")
    with pytest.raises(StudyError, match="its parent"):
        write_phantom(made, tmp_path / "absent" / "head")
    with pytest.raises(UsageError, match=r"\.nii\.gz"):
        write_phantom(made, tmp_path / "head", nifti=True)
    with pytest.raises(UsageError, match="--nifti"):
        write_phantom(made, tmp_path / "head.nii.gz")
    with pytest.raises(UsageError, match="choose none"):
        make_head_study(seed=2, slices=1, size=32, bleed="epidural")
    with pytest.raises(UsageError, match="choose fewer"):
        make_head_study(seed=2, slices=1, size=50_000, bleed="none")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
