"""What voxels are: encodings, rescale to HU, padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.ct_series import jpeg_lossless, make_enhanced, make_series
from usassist.errors import SourceFormatError
from usassist.sources.volumes import list_series, pixels, read_volume
from usassist.sources.volumes.jpeg_lossless import JpegLosslessError, decode_jpeg_lossless

HU = np.random.default_rng(5).integers(-1000, 3000, (3, 10, 14))
COMPRESSED = [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1]


def read(path: Path, **options: Any) -> np.ndarray:
    return np.asarray(read_volume(path, session_id="s", **options).volume.voxels)


@pytest.mark.parametrize(
    ("syntax", "layout"),
    [
        pytest.param(syntax, layout, id=f"{layout}-{syntax.name}")
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, *COMPRESSED)
        for layout in ("unsigned 16", "signed 16", "unsigned 12", "signed 12")
        # Pillow writes no signed JPEG 2000; the files in test_real_files.py are.
        if (syntax, layout.split()[0]) != (JPEG2000Lossless, "signed")
    ],
)
def test_every_encoding_gives_the_same_hu(tmp_path: Path, syntax: UID, layout: str) -> None:
    signed, bits = layout.startswith("signed"), int(layout.split()[1])
    hu = np.clip(HU, -1000, 2000)
    intercept = 0.0 if signed else -1024.0
    make_series(tmp_path, hu, syntax=syntax, signed=signed, bits_stored=bits, intercept=intercept)
    assert (read(tmp_path) == hu).all()


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.name)
def test_compressed_frames_of_one_file(tmp_path: Path, syntax: UID) -> None:
    assert (read(make_enhanced(tmp_path / "a.dcm", HU, syntax=syntax, order=[2, 0, 1])) == HU).all()


@pytest.mark.parametrize("predictor", range(1, 8))
def test_lossless_jpeg_with_every_predictor(predictor: int) -> None:
    rng = np.random.default_rng(predictor)
    smooth = (1000 + 50 * np.sin(np.arange(40 * 30).reshape(40, 30) / 9)).astype(np.uint16)
    for values in (smooth, rng.integers(0, 65536, (17, 23)).astype(np.uint16), smooth[:1], smooth[:, :1]):
        assert (decode_jpeg_lossless(jpeg_lossless(values, 16, predictor=predictor)) == values).all()


def test_lossless_jpeg_that_is_damaged_is_refused() -> None:
    data = jpeg_lossless(HU[0].astype(np.uint16), 16)
    for damaged in (data[:40], data[: len(data) // 2], data.replace(b"\xff\xc3", b"\xff\xc0"), b"", b"\xff\xd8"):
        with pytest.raises(JpegLosslessError):
            decode_jpeg_lossless(damaged)


def test_a_syntax_without_a_decoder_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(tmp_path, HU, syntax=JPEGLSLossless)

    class NoDecoder:
        is_available = False

    monkeypatch.setattr(pixels, "get_decoder", lambda syntax: NoDecoder())
    with pytest.raises(SourceFormatError, match=r"JPEG-LS.*pip install 'usassist\[jpegls\]'"):
        read(tmp_path)


def test_slope_and_intercept_of_each_plane_are_its_own(tmp_path: Path) -> None:
    hu = HU // 2 * 2
    for k, slope in enumerate((1.0, 2.0, 0.5)):
        make_series(
            tmp_path / str(k),
            hu[k : k + 1],
            slope=slope,
            series_uid="1.2.3",
            origin_mm=(0, 0, 2.0 * k),
            intercept=-1000.0,
        )
    assert (read(tmp_path) == hu).all()


def test_overlays_in_the_upper_bits_are_no_part_of_a_value(tmp_path: Path) -> None:
    hu = np.clip(HU, -1000, 2000)
    for path in make_series(tmp_path, hu, bits_stored=12):
        dataset = dcmread(path)
        stored = np.frombuffer(dataset.PixelData, np.uint16) | 0x5000
        dataset.PixelData = stored.tobytes()
        dataset.save_as(path)
    assert (read(tmp_path) == hu).all()


@pytest.mark.parametrize(("signed", "padding"), [(True, -2000), (True, 63536), (False, 63536)])
def test_padding_and_what_is_less_dense_than_air_become_air(tmp_path: Path, signed: bool, padding: int) -> None:
    """Scanners mark what lies outside their circle with -2000 or the like; its sign may be stated wrongly."""
    hu = HU.copy()
    stored_padding = padding if not signed or padding < 0 else padding - 65536
    intercept = -1024.0
    hu[:, :2] = stored_padding + intercept
    hu[0, 5, 5] = -1024 - 100 if signed else -1024
    make_series(tmp_path, hu, signed=signed, padding=padding, intercept=intercept)
    found = read(tmp_path)
    assert (found[:, :2] == -1024).all()
    assert found[0, 5, 5] == -1024
    assert (found[1:, 2:] == hu[1:, 2:]).all()


def test_padding_that_tissue_has_too_is_air_only_at_the_border(tmp_path: Path) -> None:
    hu = np.full((2, 12, 12), 40)
    hu[:, :2] = 0
    hu[:, 6, 6] = 0  # water
    make_series(tmp_path, hu, signed=True, intercept=0.0, padding=0)
    found = read(tmp_path)
    assert (found[:, :2] == -1024).all()
    assert (found[:, 6, 6] == 0).all()


def test_hu_above_what_fits_are_clipped_and_told(tmp_path: Path) -> None:
    hu = HU.copy()
    hu[1, 4, 4] = 40000  # metal on an extended scale
    make_series(tmp_path, hu)
    study = read_volume(tmp_path, session_id="s")
    assert study.volume.voxels[1, 4, 4] == 32767
    assert "1 voxel was above 32767 HU" in study.facts.problems[-1]
    make_series(tmp_path / "b", HU + 40000)
    with pytest.raises(SourceFormatError, match="gives values above 32767 HU"):
        read(tmp_path / "b")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"RescaleSlope": "0"}, "a rescale slope of 0"),
        ({"RescaleSlope": "-1"}, "a rescale slope of -1, which turns air into bone"),
        ({"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}, "no rescale slope and intercept"),
        ({"RescaleIntercept": "90000"}, "no voxel can be water"),
        ({"RescaleSlope": "1e-7"}, "no voxel can be water"),
    ],
)
def test_a_rescale_that_gives_no_hu_is_refused(tmp_path: Path, tags: dict[str, Any], reason: str) -> None:
    make_series(tmp_path, HU, tags=tags)
    assert reason in list_series(tmp_path)[0].unreadable
    with pytest.raises(SourceFormatError, match=reason):
        read(tmp_path)


def test_values_that_are_not_hu_are_not_called_so(tmp_path: Path) -> None:
    make_series(tmp_path, HU, tags={"RescaleType": "Z_EFF"})
    study = read_volume(tmp_path, session_id="s")
    assert (study.volume.unit, study.facts.unit) == ("1", "1")


def test_values_of_mr_are_kept_as_they_are(tmp_path: Path) -> None:
    make_series(tmp_path / "a", HU + 1024, modality="MR", slope=None, intercept=None)
    found = read(tmp_path / "a")
    assert found.dtype == np.float32  # 16 bits without a sign do not fit int16
    assert (found == HU + 1024).all()
    make_series(tmp_path / "b", HU + 1024, modality="MR", slope=None, intercept=None, bits_stored=12)
    assert read(tmp_path / "b").dtype == np.int16
    make_series(tmp_path / "c", HU / 4, modality="MR", slope=0.25, intercept=-512.0)
    assert (read(tmp_path / "c") == HU / 4).all()
