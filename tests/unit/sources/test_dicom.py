"""Every file here is made in the test, except in the last, which needs the data folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import Dataset, FileMetaDataset, uid
from pydicom import Sequence as Items
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders import RLELosslessEncoder

from usassist.calibrate import Geometry
from usassist.common.clock import FakeClock
from usassist.errors import CalibrationError, ScanAreaError, SourceError, SourceFormatError, UsageError
from usassist.records import Frame
from usassist.sources import open_source
from usassist.sources.dicom.source import DicomSource
from usassist.sources.scale import ScaleMode

UInt8Array = npt.NDArray[np.uint8]
HW = (24, 32)
EXPLICIT = uid.ExplicitVRLittleEndian


def noise(count: int, channels: int = 1, *, seed: int = 0, hw: tuple[int, int] = HW) -> list[UInt8Array]:
    rng = np.random.default_rng(seed)
    shape = hw if channels == 1 else (*hw, channels)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def write(
    path: Path,
    frames: Sequence[npt.NDArray[Any] | bytes],
    *,
    syntax: uid.UID = EXPLICIT,
    hw: tuple[int, int] = HW,
    samples: int = 1,
    bits: int = 8,
    fragments: Sequence[bytes] | None = None,
    **values: Any,
) -> Path:
    """Write a DICOM file; a value of None takes the element out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = uid.UltrasoundMultiFrameImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.SOPClassUID = uid.UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientName = "DOE^JANE"
    dataset.PatientID = "ID-4711"
    dataset.Modality = "US"
    dataset.Rows, dataset.Columns = hw
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = bits
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = len(frames)
    data = [frame if isinstance(frame, bytes) else frame.tobytes() for frame in frames]
    if syntax.is_encapsulated:
        dataset.PixelData = encapsulate(list(fragments or data), has_bot=fragments is None)
        dataset["PixelData"].VR = "OB"
    else:
        joined = b"".join(data)
        dataset.PixelData = joined + bytes(len(joined) % 2)
        dataset["PixelData"].VR = "OW" if bits > 8 or syntax.is_implicit_VR else "OB"
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def play(path: Path | str, **options: Any) -> list[Frame]:
    with open_source(str(path), session_id="s", **{"fast": True, "crop": "none", **options}) as source:
        return list(source.frames())


def open_dicom(path: Path, **options: Any) -> DicomSource:
    source = open_source(str(path), session_id="s", **{"fast": True, "crop": "none", **options})
    assert isinstance(source, DicomSource)
    return source


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def assert_plays(path: Path, images: Sequence[UInt8Array], slack: int = 0) -> None:
    frames = play(path)
    assert [frame.frame_id for frame in frames] == list(range(len(images)))
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.shape == image.shape
        assert np.abs(frame.image.astype(int) - image).max() <= slack


def to_ybr(rgb: UInt8Array, *, partial: bool = False) -> UInt8Array:
    """The equations of PS3.3, C.7.6.3.1.2, with the figures that it prints."""
    full = np.array([[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]])
    limited = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])
    ybr = rgb @ (limited if partial else full).T + ([16, 128, 128] if partial else [0, 128, 128])
    return np.clip(np.rint(ybr), 0, 255).astype(np.uint8)


def halved(ybr: UInt8Array) -> bytes:
    """Two pixels share the colour of the first: Y1 Y2 Cb Cr."""
    packed = [ybr[:, 0::2, 0], ybr[:, 1::2, 0], ybr[:, 0::2, 1], ybr[:, 0::2, 2]]
    return np.stack(packed, axis=-1).tobytes()


def paired(count: int, seed: int = 0) -> list[UInt8Array]:
    """Colours of which each pair of neighbours is the same, and that YBR can hold."""
    return [np.repeat(image, 2, axis=1) for image in noise(count, 3, seed=seed, hw=(HW[0], HW[1] // 2))]


# Photometric interpretations


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, EXPLICIT, uid.ExplicitVRBigEndian])
def test_grey_gives_the_very_pixels(syntax: uid.UID, tmp_path: Path) -> None:
    images = noise(3)
    assert_plays(write(tmp_path / "a.dcm", images, syntax=syntax), images)


def test_monochrome1_is_turned_over(tmp_path: Path) -> None:
    images = noise(2)
    path = write(tmp_path / "a.dcm", images, PhotometricInterpretation="MONOCHROME1")
    assert_plays(path, [255 - image for image in images])


@pytest.mark.parametrize("syntax", [EXPLICIT, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("stored", [10, 12, 16])
def test_deep_grey_is_scaled_over_its_whole_range(stored: int, syntax: uid.UID, tmp_path: Path) -> None:
    most = 2**stored - 1
    deep = np.random.default_rng(1).integers(0, most + 1, HW)
    deep[0, :2] = 0, most
    data = deep.astype("<u2" if syntax.is_little_endian else ">u2").tobytes()
    path = write(tmp_path / "a.dcm", [data], syntax=syntax, bits=16, BitsStored=stored, HighBit=stored - 1)
    assert_plays(path, [np.rint(deep * (255 / most)).astype(np.uint8)])


def test_rgb_gives_the_very_pixels_in_both_planar_configurations(tmp_path: Path) -> None:
    images = noise(3, 3)
    assert_plays(write(tmp_path / "a.dcm", images, samples=3), images)
    planes = [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in images]
    assert_plays(write(tmp_path / "b.dcm", planes, samples=3, PlanarConfiguration=1), images)


def test_odd_sizes_are_played(tmp_path: Path) -> None:
    images = noise(3, 3, hw=(7, 5))
    assert_plays(write(tmp_path / "a.dcm", images, samples=3, hw=(7, 5)), images)


@pytest.mark.parametrize("partial", [False, True])
def test_ybr_is_turned_into_rgb(partial: bool, tmp_path: Path) -> None:
    images = noise(2, 3)
    path = write(
        tmp_path / "a.dcm",
        [to_ybr(image, partial=partial) for image in images],
        samples=3,
        PhotometricInterpretation="YBR_PARTIAL" if partial else "YBR_FULL",
    )
    assert_plays(path, images, slack=2)  # two roundings, the first of a colour difference that counts up to 2.02 times


@pytest.mark.parametrize("partial", [False, True])
def test_ybr_with_halved_colour_is_turned_into_rgb(partial: bool, tmp_path: Path) -> None:
    images = paired(2)
    path = write(
        tmp_path / "a.dcm",
        [halved(to_ybr(image, partial=partial)) for image in images],
        samples=3,
        PhotometricInterpretation="YBR_PARTIAL_422" if partial else "YBR_FULL_422",
    )
    assert_plays(path, images, slack=2)


def test_grey_levels_of_ybr_partial_reach_from_black_to_white(tmp_path: Path) -> None:
    ybr = np.full((*HW, 3), 128, np.uint8)
    ybr[:8, :, 0], ybr[8:16, :, 0], ybr[16:, :, 0] = 16, 126, 235
    (frame,) = play(write(tmp_path / "a.dcm", [ybr], samples=3, PhotometricInterpretation="YBR_PARTIAL"))
    assert [frame.image[row, 0].tolist() for row in (0, 8, 16)] == [[0, 0, 0], [128, 128, 128], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "8 bits in 16", "16 bits that use 8"])
def test_palette_is_applied(kind: str, tmp_path: Path) -> None:
    colours = np.random.default_rng(2).integers(0, 256, (200, 3)).astype(np.uint16)
    first = 20  # values below take the first entry, values beyond the last
    stored = colours << 8 if kind == "16 bits" else colours
    wide = kind != "8 bits"
    values: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for index, colour in enumerate(("Red", "Green", "Blue")):
        bits = 16 if kind.startswith("16") else 8
        values[f"{colour}PaletteColorLookupTableDescriptor"] = [200, first, bits]
        values[f"{colour}PaletteColorLookupTableData"] = stored[:, index].astype("<u2" if wide else "u1").tobytes()
    images = noise(2)
    expected = [colours.astype(np.uint8)[np.clip(image.astype(int) - first, 0, 199)] for image in images]
    assert_plays(write(tmp_path / "a.dcm", images, **values), expected)


# Transfer syntaxes


@pytest.mark.parametrize("channels", [1, 3])
def test_run_lengths_give_the_very_pixels(channels: int, tmp_path: Path) -> None:
    images = [np.sort(image, axis=1) for image in noise(3, channels)]
    coded = [rle(image) for image in images]
    assert_plays(write(tmp_path / "a.dcm", coded, syntax=uid.RLELossless, samples=channels), images)


def rle(image: UInt8Array) -> bytes:
    return RLELosslessEncoder.encode(
        image.tobytes(),
        rows=image.shape[0],
        columns=image.shape[1],
        samples_per_pixel=1 if image.ndim == 2 else 3,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2" if image.ndim == 2 else "RGB",
        number_of_frames=1,
        planar_configuration=0,
        encoding_plugin="pydicom",
    )


def coded(suffix: str, image: UInt8Array, *parameters: int) -> bytes:
    good, data = cv2.imencode(suffix, image if image.ndim == 2 else image[..., ::-1], parameters)
    assert good
    return bytes(data.tobytes())


def test_jpeg_2000_gives_the_very_pixels(tmp_path: Path) -> None:
    images = noise(2)
    path = write(tmp_path / "a.dcm", [j2k(image) for image in images], syntax=uid.JPEG2000Lossless)
    assert_plays(path, images)
    images = noise(2, 3)
    path = write(
        tmp_path / "b.dcm",
        [j2k(image) for image in images],
        syntax=uid.JPEG2000Lossless,
        samples=3,
        PhotometricInterpretation="YBR_RCT",
    )
    assert_plays(path, images)


def j2k(image: UInt8Array) -> bytes:
    out = BytesIO()
    Image.fromarray(image).save(out, format="JPEG2000", no_jp2=True, irreversible=False, mct=int(image.ndim == 3))
    return out.getvalue()


def jpeg(image: UInt8Array) -> bytes:
    quality = (cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return coded(".jpg", image, *quality)


def without_mark(data: bytes) -> bytes:
    """The code stream without the mark of JFIF, so that the header alone says what the components are."""
    length = int.from_bytes(data[4:6], "big")
    assert data[6:10] == b"JFIF"
    return data[:2] + data[4 + length :]


def test_jpeg_of_grey_is_decoded(tmp_path: Path) -> None:
    images = noise(2)
    path = write(tmp_path / "a.dcm", [jpeg(image) for image in images], syntax=uid.JPEGBaseline8Bit)
    assert_plays(path, images, slack=4)


@pytest.mark.parametrize("stated", ["YBR_FULL_422", "RGB"])
def test_colours_of_a_jpeg_follow_its_marker_whatever_the_header_states(stated: str, tmp_path: Path) -> None:
    images = noise(2, 3)
    path = write(
        tmp_path / "a.dcm",
        [jpeg(image) for image in images],
        syntax=uid.JPEGBaseline8Bit,
        samples=3,
        PhotometricInterpretation=stated,
    )
    assert_plays(path, images, slack=8)


def with_ids(data: bytes, ids: bytes) -> bytes:
    """The code stream with other ids of its three components, in the frame and in the scan."""
    out = bytearray(data)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    out[frame + 10 : frame + 19 : 3] = ids
    out[scan + 5 : scan + 11 : 2] = ids
    return bytes(out)


@pytest.mark.parametrize("stated", ["YBR_FULL_422", "YBR_FULL", "RGB", "YBR_ICT"])
@pytest.mark.parametrize(
    ("ids", "is_rgb"), [(b"\1\2\3", False), (b"RGB", True), (b"rgb", True), (b"\0\1\2", None), (b"\x07\x08\x09", None)]
)
def test_colours_of_a_jpeg_without_mark_follow_its_components_and_then_the_header(
    ids: bytes, is_rgb: bool | None, stated: str, tmp_path: Path
) -> None:
    (image,) = noise(1, 3)
    path = write(
        tmp_path / "a.dcm",
        [with_ids(without_mark(jpeg(image)), ids)],
        syntax=uid.JPEGBaseline8Bit,
        samples=3,
        PhotometricInterpretation=stated,
    )
    if is_rgb is None:
        is_rgb = stated == "RGB"
    assert_plays(path, [to_ybr(image) if is_rgb else image], slack=8)


def patches() -> UInt8Array:
    """Red, green and blue beside grey."""
    image = np.full((*HW, 3), 90, np.uint8)
    image[:, 0:8], image[:, 8:16], image[:, 16:24] = (220, 30, 20), (20, 200, 30), (30, 20, 220)
    return image


@pytest.mark.parametrize("sampling", ["422", "420", "440"])
def test_subsampled_colours_of_a_jpeg_without_mark_are_never_rgb(sampling: str, tmp_path: Path) -> None:
    image = patches()
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    data = coded(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
    bare = with_ids(without_mark(data), b"\0\1\2")
    path = write(tmp_path / "a.dcm", [bare], syntax=uid.JPEGBaseline8Bit, samples=3)
    (frame,) = play(path)
    inner = [frame.image[10, column].astype(int) for column in (4, 12, 20, 28)]
    np.testing.assert_allclose(inner, [image[10, column] for column in (4, 12, 20, 28)], atol=10)


@pytest.mark.parametrize(("transform", "is_ybr"), [(0, False), (1, True)])
def test_adobe_marker_decides_the_colours_of_a_jpeg(transform: int, is_ybr: bool, tmp_path: Path) -> None:
    (image,) = noise(1, 3)
    bare = without_mark(jpeg(image))
    data = bare[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) + bare[2:]
    path = write(tmp_path / "a.dcm", [data], syntax=uid.JPEGBaseline8Bit, samples=3)
    assert_plays(path, [image if is_ybr else to_ybr(image)], slack=8)


def lossless_jpeg(image: UInt8Array) -> bytes:
    """Process 14, selection value 1: each sample less the one to its left; nine codes of four bits."""
    height, width = image.shape[:2]
    planes = image.reshape(height, width, -1)
    count = planes.shape[2]
    bits = []
    before = np.full(count, 128)
    for row in range(height):
        if row:
            before = planes[row - 1, 0].astype(int)
        for column in range(width):
            for plane in range(count):
                step = int(planes[row, column, plane]) - int(before[plane])
                size = abs(step).bit_length()
                bits.append(f"{size:04b}")
                bits.append(f"{step if step > 0 else step + 2**size - 1:0{size}b}" if size else "")
            before = planes[row, column].astype(int)
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    ids = range(1, count + 1)
    frame = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([count])
    frame += b"".join(bytes([number, 0x11, 0]) for number in ids)
    table = bytes([0, 0, 0, 0, 9]) + bytes(12) + bytes(range(9))
    start = bytes([count]) + b"".join(bytes([number, 0]) for number in ids) + bytes([1, 0, 0])
    parts = b"".join(
        b"\xff" + bytes([mark]) + (len(body) + 2).to_bytes(2, "big") + body
        for mark, body in ((0xC3, frame), (0xC4, table), (0xDA, start))
    )
    return b"\xff\xd8" + parts + scan + b"\xff\xd9"


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_jpeg_gives_the_very_pixels(channels: int, syntax: uid.UID, tmp_path: Path) -> None:
    images = noise(2, channels)
    path = write(tmp_path / "a.dcm", [lossless_jpeg(image) for image in images], syntax=syntax, samples=channels)
    assert_plays(path, images)


@pytest.mark.parametrize("has_table", [False, True])
def test_frames_of_several_fragments_are_put_together(has_table: bool, tmp_path: Path) -> None:
    images = noise(3)
    frames = [jpeg(image) for image in images]
    whole = play(write(tmp_path / "a.dcm", frames, syntax=uid.JPEGBaseline8Bit))
    parts = [part for frame in frames for part in (frame[:100], frame[100:302], frame[302:])]
    path = write(tmp_path / "b.dcm", frames, syntax=uid.JPEGBaseline8Bit, fragments=parts)
    if has_table:
        dataset = write(tmp_path / "c.dcm", frames, syntax=uid.JPEGBaseline8Bit, PixelData=with_table(frames, parts))
        path = dataset
    split = play(path)
    assert len(split) == 3
    for one, other in zip(whole, split, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def with_table(frames: Sequence[bytes], parts: Sequence[bytes]) -> bytes:
    """Encapsulated fragments, three a frame, behind a table of offsets."""
    data = encapsulate(list(parts), has_bot=False)
    lengths = [8 + len(part) + len(part) % 2 for part in parts]
    offsets = [sum(lengths[: 3 * index]) for index in range(len(frames))]
    table = b"".join(offset.to_bytes(4, "little") for offset in offsets)
    return data[:4] + len(table).to_bytes(4, "little") + table + data[8:]


@pytest.mark.parametrize(
    ("syntax", "message"),
    [
        (uid.HTJ2K, r"transfer syntax High-Throughput JPEG 2000.*gdcmconv --raw"),
        (uid.MPEG4HP41, r"holds a video stream \(MPEG-4.*dcmdump \+W"),
        (uid.HEVCMP51, r"holds a video stream \(HEVC.*dcmdump \+W"),
        (uid.UID("1.2.3.4.5"), r"transfer syntax 1\.2\.3\.4\.5.*gdcmconv --raw"),
    ],
)
def test_other_transfer_syntaxes_are_named_with_what_converts_them(
    syntax: uid.UID, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.dcm", noise(1), PixelData=encapsulate([b"\0" * 8]))
    data = path.read_bytes()
    known, wanted = str(EXPLICIT).encode() + b"\0", str(syntax).encode()
    wanted += b"\0" * (len(wanted) % 2)
    at = data.index(known)
    data = data[: at - 2] + len(wanted).to_bytes(2, "little") + wanted + data[at + len(known) :]
    group_length = int.from_bytes(data[140:144], "little") + len(wanted) - len(known)
    path.write_bytes(data[:140] + group_length.to_bytes(4, "little") + data[144:])
    with pytest.raises(SourceFormatError, match=r"a\.dcm .*" + message):
        play(path)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000])
def test_missing_decoder_is_named_with_what_installs_it(
    syntax: uid.UID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    path = write(tmp_path / "a.dcm", [b"\xff\xd8\xff\xf7"], syntax=syntax)
    wanted = r"which needs pyjpegls; install it with: pip install 'usassist\[jpegls\]'"
    if syntax == uid.JPEG2000:
        wanted = r"which needs a Pillow with OpenJPEG; install it with: pip install --force-reinstall pillow"
    with pytest.raises(SourceFormatError, match=rf"a\.dcm has the transfer syntax JPEG.*{wanted}, or convert .*--raw"):
        play(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_ls_gives_the_very_pixels(channels: int, tmp_path: Path) -> None:
    jpeg_ls = pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed; pip install 'usassist[jpegls]'")
    images = noise(3, channels)
    codes = [bytes(jpeg_ls.encode_array(image)) for image in images]
    path = write(
        tmp_path / "a.dcm",
        codes,
        syntax=uid.JPEGLSLossless,
        samples=channels,
        fragments=[part for code in codes for part in thirds(code)],
        NumberOfFrames=1,
    )
    assert_plays(path, images)


def test_deflated_file_is_named_with_what_converts_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", noise(1), syntax=uid.DeflatedExplicitVRLittleEndian)
    with pytest.raises(SourceFormatError, match=r"Deflated.*dcmconv \+te"):
        play(path)


# Time


def due_ms(path: Path, **options: Any) -> list[float]:
    return [frame.t_capture_ns / 1e6 for frame in play(path, fast=False, clock=FakeClock(), **options)]


@pytest.mark.parametrize(
    ("values", "due", "rate_hz"),
    [
        ({"FrameTimeVector": [0, 20, 50, 30]}, [0, 20, 70, 100], 30.0),
        ({"FrameTimeVector": [0, 20, 50, 30], "FrameTime": 10}, [0, 20, 70, 100], 30.0),
        (
            {"FrameTimeVector": [0, 20, 50, 30], "FrameTime": 10, "FrameIncrementPointer": 0x00181063},
            [0, 10, 20, 30],
            100.0,
        ),
        ({"FrameTime": 12.5, "CineRate": 5}, [0, 12.5, 25, 37.5], 80.0),
        ({"CineRate": 20, "RecommendedDisplayFrameRate": 5}, [0, 50, 100, 150], 20.0),
        ({"RecommendedDisplayFrameRate": 5}, [0, 200, 400, 600], 5.0),
        ({}, [0, 40, 80, 120], None),
        ({"FrameTimeVector": [0, 20, 50], "FrameTime": 10}, [0, 10, 20, 30], 100.0),  # not one for each frame
        ({"FrameTimeVector": [0, 20, -5, 30], "CineRate": 20}, [0, 50, 100, 150], 20.0),
        ({"FrameTime": 0, "CineRate": 0, "RecommendedDisplayFrameRate": 10}, [0, 100, 200, 300], 10.0),
        ({"FrameTime": 1e9}, [0, 40, 80, 120], None),
    ],
)
def test_acquired_times_win_over_rates_for_display(
    values: dict[str, Any], due: list[float], rate_hz: float | None, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.dcm", noise(4), **values)
    assert due_ms(path) == due
    assert open_dicom(path).info.rate_hz == (None if rate_hz is None else pytest.approx(rate_hz))


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({"FrameTime": 40, "CineRate": 24, "RecommendedDisplayFrameRate": 26}, []),
        ({}, ["no tag states when its frames are due, so they are played at 25 Hz"]),
        (
            {"FrameTimeVector": [0, 20, 50], "FrameTime": 50},
            ["FrameTimeVector cannot be true for 4 frames and is ignored"],
        ),
        (
            {"FrameTime": 0, "CineRate": 1e6},
            [
                "CineRate cannot be true for 4 frames and is ignored",
                "FrameTime cannot be true for 4 frames and is ignored",
                "no tag states when its frames are due, so they are played at 25 Hz",
            ],
        ),
        (
            {"FrameTime": 50, "CineRate": 60, "RecommendedDisplayFrameRate": 20},
            ["FrameTime states 20 Hz and is used, although others state CineRate 60 Hz"],
        ),
    ],
)
def test_missing_and_contradictory_times_are_logged(
    values: dict[str, Any], lines: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_dicom(write(tmp_path / "a.dcm", noise(4), **values))
    assert logged(caplog) == [f"DICOM: {line}" for line in lines]


def test_times_of_each_frame_fit_the_frames_that_are_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", noise(4), NumberOfFrames=1, FrameTimeVector=[0, 20, 50, 30], FrameTime=99)
    assert due_ms(path) == [0, 20, 70, 100]


def test_time_that_is_no_number_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", noise(3), FrameTime=12.5, CineRate=20)
    data = path.read_bytes()
    assert data.count(b"12.5") == 1
    path.write_bytes(data.replace(b"12.5", b"1,.5"))
    assert due_ms(path) == [0, 50, 100]


def test_repeat_goes_on_with_frame_ids_and_time(tmp_path: Path) -> None:
    images = noise(3)
    path = write(tmp_path / "a.dcm", images, FrameTimeVector=[0, 10, 30])
    frames = play(path, fast=False, repeat=True, count=7, clock=FakeClock())
    assert [frame.t_capture_ns / 1e6 for frame in frames] == [0, 10, 40, 60, 70, 100, 120]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, images[frame.frame_id % 3])


def test_single_frame_is_one_frame_without_a_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", noise(1), NumberOfFrames=None, FrameTime=20)
    info = open_dicom(path).info
    assert (info.frame_count, info.rate_hz, info.channels) == (1, None, 1)
    assert len(play(path)) == 1


# Regions and scale


def region(xyxy: tuple[int, int, int, int], *, spatial: int = 1, data: int = 1, **values: Any) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = spatial, data, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = xyxy[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = xyxy[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.01, 0.02
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


PICTURE = (80, 60, 260, 220)
BIG = (240, 320)


def screens(count: int = 2, *, seed: int = 3) -> list[UInt8Array]:
    """Scanner screens with a banner above, and an ultrasound image."""
    x1, y1, x2, y2 = PICTURE
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        screen = np.zeros(BIG, np.uint8)
        cv2.putText(screen, "DOE JANE 1970", (90, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        screen[y1:y2, x1:x2] = rng.integers(20, 200, (y2 - y1, x2 - x1), dtype=np.uint8)
        images.append(screen)
    return images


def write_screens(path: Path, *regions: Dataset, images: list[UInt8Array] | None = None) -> Path:
    values: dict[str, Any] = {"SequenceOfUltrasoundRegions": Items(list(regions))} if regions else {}
    return write(path, images or screens(), hw=BIG, **values)


def test_crop_is_looked_for_inside_the_tissue_region(tmp_path: Path) -> None:
    images = screens()
    for image in images:
        image[225:235, 10:200] = 220  # a bar below the image
    limit = (70, 100, 300, 222)  # the scanner names the lower part alone
    path = write_screens(tmp_path / "a.dcm", region(limit), images=images)
    (frame, *_) = play(path, crop="auto")
    x1, y1, x2, y2 = frame.roi_xyxy_px
    assert np.abs(np.subtract(frame.roi_xyxy_px, (80, 100, 260, 220))).max() <= 4
    assert y1 >= limit[1]
    assert y2 <= limit[3]
    np.testing.assert_array_equal(frame.image, images[0][y1:y2, x1:x2])


def test_banner_inside_a_region_of_the_whole_screen_is_cut(tmp_path: Path) -> None:
    path = write_screens(tmp_path / "a.dcm", region((0, 0, 320, 240)))
    (frame, *_) = play(path, crop="auto")
    assert np.abs(np.subtract(frame.roi_xyxy_px, PICTURE)).max() <= 4


def test_region_is_the_crop_where_nothing_is_found_in_it(tmp_path: Path) -> None:
    dark = [np.zeros(BIG, np.uint8) for _ in range(2)]
    for image in dark:
        cv2.putText(image, "DOE JANE", (90, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        image[100, 100] = 90
    (frame, *_) = play(write_screens(tmp_path / "a.dcm", region(PICTURE), images=dark), crop="auto")
    assert frame.roi_xyxy_px == PICTURE
    with pytest.raises(ScanAreaError, match="nearly the whole screen; give the crop with --crop"):
        play(write_screens(tmp_path / "b.dcm", region((0, 0, 320, 240)), images=dark), crop="auto")


@pytest.mark.parametrize(
    "implausible",
    [
        region((80, 60, 321, 220)),
        region((80, 60, 80, 220)),
        region((260, 220, 80, 60)),
        region((0, 0, 8, 240)),
        region((0, 0, 20, 20)),
        region((0, 0, 320, 50), data=3),
        region((0, 0, 320, 50), spatial=3),
        region((0, 0, 320, 50), data=2),
    ],
)
def test_other_and_implausible_regions_do_not_limit_the_crop(implausible: Dataset, tmp_path: Path) -> None:
    source = open_dicom(write_screens(tmp_path / "a.dcm", implausible), crop="auto")
    assert np.abs(np.subtract(source.info.roi_xyxy_px, PICTURE)).max() <= 4
    assert source.header_spacing_rc_mm is None


def test_both_halves_of_a_dual_view_are_kept(tmp_path: Path) -> None:
    halves = (region((80, 60, 170, 222)), region((170, 60, 262, 222)))
    source = open_dicom(write_screens(tmp_path / "a.dcm", *halves), crop="auto")
    assert np.abs(np.subtract(source.info.roi_xyxy_px, PICTURE)).max() <= 4
    assert source.header_spacing_rc_mm == pytest.approx((0.2, 0.1))
    halves[1].PhysicalDeltaX = 0.03
    source = open_dicom(write_screens(tmp_path / "b.dcm", *halves), crop="auto")
    assert source.header_spacing_rc_mm is None


def test_scale_of_the_header_is_on_every_frame_with_an_uncertainty(tmp_path: Path) -> None:
    path = write_screens(tmp_path / "a.dcm", region(PICTURE, PhysicalDeltaY=-0.02))
    source = open_dicom(path, crop="auto")
    assert source.header_spacing_rc_mm == pytest.approx((0.2, 0.1))  # mm, row step first
    frame = next(source.frames())
    assert frame.spacing_rc_mm == pytest.approx((0.2, 0.1))
    assert (frame.spacing_rel_sd, frame.calibration_id) == (0.01, "scale_by_dicom")


@pytest.mark.parametrize("scale", ["profile", "none"])
def test_scale_of_the_header_is_left_out_on_request(scale: ScaleMode, tmp_path: Path) -> None:
    path = write_screens(tmp_path / "a.dcm", region(PICTURE))
    (frame, *_) = play(path, crop="auto", scale=scale)
    assert (frame.spacing_rc_mm, frame.calibration_id) == (None, None)


def test_a_header_of_100_mm_a_pixel_is_no_scale(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_screens(tmp_path / "a.dcm", region(PICTURE, PhysicalDeltaX=10.0, PhysicalDeltaY=10.0))
    with caplog.at_level(logging.WARNING):
        (frame, *_) = play(path, crop="auto")
    assert frame.spacing_rc_mm is None
    assert any("no plausible scale" in record.message for record in caplog.records)


@pytest.mark.parametrize("values", [{"PhysicalUnitsXDirection": 4}, {"PhysicalDeltaY": 0.0}])
def test_scale_in_other_units_or_of_zero_is_none(values: dict[str, Any], tmp_path: Path) -> None:
    source = open_dicom(write_screens(tmp_path / "a.dcm", region(PICTURE, **values)), crop="auto")
    assert source.header_spacing_rc_mm is None


def test_scale_of_the_header_is_not_claimed_for_a_crop_beyond_the_region(tmp_path: Path) -> None:
    path = write_screens(tmp_path / "a.dcm", region(PICTURE))
    assert open_dicom(path, crop="none").header_spacing_rc_mm is None
    assert open_dicom(path, crop=(90, 70, 200, 200)).header_spacing_rc_mm is not None


def geometry(grab_hw_px: tuple[int, int]) -> Geometry:
    return Geometry(
        calibration_id="probe_a",
        crop_xyxy_px=None,
        grab_hw_px=grab_hw_px,
        spacing_rc_mm=(0.3, 0.4),
        spacing_rel_sd=0.01,
    )


def test_calibration_and_header_that_disagree_leave_no_scale(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_screens(tmp_path / "a.dcm", region(PICTURE))
    with caplog.at_level(logging.INFO):
        (frame, *_) = play(path, crop="auto", geometry=geometry(BIG))
    assert (frame.spacing_rc_mm, frame.spacing_rel_sd) == (None, None)
    assert any("the DICOM header and calibration probe_a state different" in item.message for item in caplog.records)


@pytest.mark.parametrize(("step_px", "agrees"), [(50.0, True), (44.0, False)])
def test_a_ruler_has_to_agree_with_the_header(step_px: float, agrees: bool, tmp_path: Path) -> None:
    images = screens()
    for image in images:
        for number in range(4):  # centimetres: 50 px at 0.2 mm per px
            row = round(60 + number * step_px)
            image[row : row + 2, 268:276] = 230
    path = write_screens(tmp_path / "a.dcm", region(PICTURE, PhysicalDeltaX=0.02), images=images)
    source = open_dicom(path, crop=PICTURE)
    frame = next(source.frames())
    assert frame.calibration_id == ("scale_by_dicom" if agrees else None)
    assert source.scale_note == (
        "" if agrees else "the DICOM header and the ruler on the screen state different scales"
    )


def test_calibration_gives_the_scale_and_must_be_of_this_screen(tmp_path: Path) -> None:
    path = write_screens(tmp_path / "a.dcm", region(PICTURE, PhysicalUnitsXDirection=4))
    (frame, *_) = play(path, crop="auto", geometry=geometry(BIG))
    assert (frame.spacing_rc_mm, frame.spacing_rel_sd) == ((0.3, 0.4), 0.01)
    with pytest.raises(CalibrationError, match="320 x 240 px"):
        play(path, crop="auto", geometry=geometry((480, 640)))


def test_description_flags_doppler_and_m_mode(tmp_path: Path) -> None:
    path = write_screens(
        tmp_path / "a.dcm",
        region(PICTURE),
        region(PICTURE, data=2),
        region((0, 224, 320, 240), spatial=3, data=3),
        region((0, 224, 320, 240), spatial=2),
    )
    assert open_dicom(path).info.description == (
        "DICOM cine, 2 frames, Explicit VR Little Endian, with M-mode, with colour Doppler, with spectral Doppler"
    )


# Privacy


def test_no_patient_text_is_logged_shown_or_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_screens(tmp_path / "DOE_JANE_4711.dcm", region(PICTURE))
    with caplog.at_level(logging.DEBUG):
        source = open_dicom(path, crop="auto")
        assert len(list(source.frames())) == 2
    assert source.info.description == "DICOM cine, 2 frames, Explicit VR Little Endian"
    said = "\n".join(record.getMessage() for record in caplog.records) + repr(source.info) + repr(source._header)
    assert not re.search("DOE|JANE|4711", said)


def test_damaged_header_is_reported_without_its_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write(tmp_path / "a.dcm", noise(2)).read_bytes()
    rng = np.random.default_rng(5)
    with caplog.at_level(logging.DEBUG):
        for number in range(120):
            damaged = bytearray(data[: 132 + 350 + int(rng.integers(600))])
            for _ in range(3):
                damaged[int(rng.integers(132, len(damaged)))] = int(rng.integers(256))
            path = tmp_path / f"{number}.dcm"
            path.write_bytes(bytes(damaged))
            _, message = frames_until_error(path)
            assert "DOE" not in message
            assert not message or "; " in message or ": " in message
    assert not any("DOE" in record.getMessage() for record in caplog.records)


# Bad input


def test_address_by_name_by_suffix_and_by_first_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", noise(2))
    bare = tmp_path / "IM0001"
    bare.write_bytes(path.read_bytes())
    for address in (f"dicom:{bare}", str(path), str(bare)):
        assert len(play(address)) == 2
    with pytest.raises(UsageError, match="source dicom needs a file; write dicom:FILE"):
        play("dicom:")


def test_missing_empty_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*gone\.dcm; check"):
        play(tmp_path / "gone.dcm")
    (tmp_path / "empty.dcm").touch()
    with pytest.raises(SourceFormatError, match=r"empty\.dcm is empty"):
        play(tmp_path / "empty.dcm")
    (tmp_path / "text.dcm").write_text("no images here\n" * 30)
    with pytest.raises(SourceFormatError, match=r"text\.dcm is not a DICOM file; give"):
        play(tmp_path / "text.dcm")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Modality": "CT"}, r"holds images of modality CT, but this source plays ultrasound"),
        ({"Modality": "SR"}, r"holds images of modality SR, but"),
        ({"Modality": None}, r"holds no known modality, but"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.2"}, r"holds an ultrasound volume, not a sequence in time; export"),
        ({"PixelData": None}, r"holds no pixel data, or breaks off before them; export"),
        ({"Rows": 0}, r"states an image size of 32 x 0 px; export"),
        ({"Columns": None}, r"does not state Columns as a number; export"),
        ({"PhotometricInterpretation": "CMYK"}, r"has photometric interpretation CMYK, which is not supported; exp"),
        ({"PhotometricInterpretation": "RGB"}, r"has 1 samples per pixel for RGB, which is not supported"),
        ({"PixelRepresentation": 1}, r"has signed samples, which is not supported"),
        ({"BitsStored": 12}, r"has 12 of 8 bits a sample, which is not supported"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, r"has a damaged DICOM header; export"),
    ],
)
def test_what_cannot_be_played_is_named(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", noise(1), **values)
    with pytest.raises(SourceFormatError, match=r"^a\.dcm " + message):
        play(path)


def frames_until_error(path: Path) -> tuple[list[Frame], str]:
    """What a file gives, and the message with which it ends; empty where it ends well."""
    frames: list[Frame] = []
    try:
        with open_dicom(path) as source:
            for frame in source.frames():
                frames.append(frame)
    except SourceError as error:
        return frames, str(error)
    return frames, ""


@pytest.mark.parametrize("syntax", [EXPLICIT, uid.RLELossless, uid.JPEG2000Lossless])
def test_truncated_file_plays_what_it_holds_and_then_fails(syntax: uid.UID, tmp_path: Path) -> None:
    images = noise(10)
    code = {uid.RLELossless: rle, uid.JPEG2000Lossless: j2k}.get(syntax, np.ndarray.tobytes)
    path = write(tmp_path / "a.dcm", [code(image) for image in images], syntax=syntax)
    data = path.read_bytes()
    pixels = sum(len(code(image)) for image in images)
    path.write_bytes(data[: len(data) - int(pixels * 0.55)])
    frames, message = frames_until_error(path)
    assert len(frames) == 4
    assert message == "a.dcm broke off after 4 of 10 frames; copy or export the file again"
    for frame, image in zip(frames, images, strict=False):
        np.testing.assert_array_equal(frame.image, image)


def test_file_cut_inside_its_first_frame_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", noise(3))
    path.write_bytes(path.read_bytes()[: -(2 * HW[0] * HW[1] + 5)])
    with pytest.raises(SourceFormatError, match=r"a\.dcm breaks off before its first frame; copy"):
        play(path)


CODES = {
    uid.JPEGBaseline8Bit: lambda image: jpeg(image),
    uid.JPEG2000Lossless: lambda image: j2k(image),
    uid.RLELossless: lambda image: rle(image),
    EXPLICIT: np.ndarray.tobytes,
}


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("claimed", [None, 0, -3, 1, 2, 5, 9])
@pytest.mark.parametrize("syntax", list(CODES))
def test_bytes_say_how_many_frames_there_are(
    syntax: uid.UID, claimed: int | None, parts: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if parts > 1 and not syntax.is_encapsulated:
        return
    images = [np.sort(image, axis=1) for image in noise(5)]
    codes = [CODES[syntax](image) for image in images]
    fragments = [part for code in codes for part in thirds(code)] if parts == 3 else None
    path = write(tmp_path / "a.dcm", codes, syntax=syntax, fragments=fragments, FrameTime=20, NumberOfFrames=claimed)
    with caplog.at_level(logging.WARNING):
        assert_plays(path, images, slack=4 if syntax == uid.JPEGBaseline8Bit else 0)
    lines = logged(caplog)
    assert open_dicom(path).info.frame_count == 5
    expected = {
        5: [],
        None: ["DICOM: the header states no number of frames; the file holds 5, and these are played"],
    }
    frames = "1 frame" if claimed == 1 else f"{claimed} frames"
    other = [f"DICOM: the header states {frames}, but the file holds 5, and these are played"]
    if claimed is not None and claimed < 1:
        other = ["DICOM: NumberOfFrames is not a number from 1 on, and is ignored", *expected[None]]
    assert lines == expected.get(claimed, other)


def thirds(code: bytes) -> list[bytes]:
    """The code in three parts of an even length each; none of them hides the mark at its beginning."""
    step = max(66, len(code) // 3 // 2 * 2)
    return [code[:step], code[step : 2 * step], code[2 * step :]]


def test_single_frame_in_several_fragments_is_one_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.RLELossless):
        (image,) = noise(1)
        code = CODES[syntax](image)
        for claimed in (None, 1):
            path = write(tmp_path / "a.dcm", [code], syntax=syntax, fragments=thirds(code), NumberOfFrames=claimed)
            assert_plays(path, [image], slack=4 if syntax == uid.JPEGBaseline8Bit else 0)
    assert logged(caplog) == []


@pytest.mark.parametrize("kind", ["right", "zeros", "of one", "past the end", "not on a fragment", "falling", "odd"])
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.RLELossless])
def test_wrong_offset_table_is_ignored(syntax: uid.UID, extended: bool, kind: str, tmp_path: Path) -> None:
    images = noise(4)
    codes = [CODES[syntax](image) for image in images]
    parts = [thirds(code) for code in codes]
    right = np.cumsum([0] + [sum(8 + len(part) + len(part) % 2 for part in frame) for frame in parts[:-1]]).tolist()
    offsets = {
        "right": right,
        "zeros": [0] * 4,
        "of one": [0],
        "past the end": [0, 10**6, 2 * 10**6, 3 * 10**6],
        "not on a fragment": [offset + 2 * (offset > 0) for offset in right],
        "falling": right[::-1],
        "odd": right,
    }[kind]
    table = b"".join(offset.to_bytes(8 if extended else 4, "little") for offset in offsets)
    table += b"\0\0" if kind == "odd" else b""
    data = encapsulate([part for frame in parts for part in frame], has_bot=False)
    values: dict[str, Any] = {"ExtendedOffsetTable": table} if extended else {}
    if not extended:
        data = data[:4] + len(table).to_bytes(4, "little") + table + data[8:]
    path = write(tmp_path / "a.dcm", codes, syntax=syntax, PixelData=data, FrameTime=20, **values)
    assert_plays(path, images, slack=4 if syntax == uid.JPEGBaseline8Bit else 0)


def test_offset_table_finds_frames_whose_start_is_damaged(tmp_path: Path) -> None:
    images = noise(4)
    codes = [rle(image) for image in images]
    codes[0], codes[2] = b"\7" + codes[0][1:], b"\7" + codes[2][1:]
    parts = [part for code in codes for part in thirds(code)]
    path = write(tmp_path / "a.dcm", codes, syntax=uid.RLELossless, PixelData=with_table(codes, parts), FrameTime=10)
    with open_dicom(path, fast=False, clock=FakeClock()) as source:
        given = list(source.frames())
    assert source.decode_errors == 2
    assert [frame.t_capture_ns / 1e6 for frame in given] == [0, 20]  # the second and the fourth
    np.testing.assert_array_equal(given[1].image, images[3])


def test_odd_lengths_are_read_with_and_without_their_padding(tmp_path: Path) -> None:
    images = noise(3)
    codes = [code + b"\0" * (1 - len(code) % 2) for code in map(jpeg, images)]  # each of an odd length
    assert all(len(code) % 2 for code in codes)
    for pad in (b"", b"\0"):
        data = b"\xfe\xff\x00\xe0" + bytes(4)  # an empty table of offsets
        for code in codes:
            data += b"\xfe\xff\x00\xe0" + len(code).to_bytes(4, "little") + code + pad
        path = write(tmp_path / "a.dcm", codes, syntax=uid.JPEGBaseline8Bit, PixelData=data + bytes(len(data) % 2))
        assert_plays(path, images, slack=4)
    (tmp_path / "b.dcm").write_bytes(path.read_bytes()[:-1])
    assert len(play(tmp_path / "b.dcm")) == 3


@pytest.mark.parametrize("claimed", [None, 2, 4])
def test_pixels_that_are_no_whole_number_of_frames(
    claimed: int | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = noise(3)
    data = b"".join(map(np.ndarray.tobytes, images)) + bytes(100)
    path = write(tmp_path / "a.dcm", images, PixelData=data, NumberOfFrames=claimed, FrameTime=20)
    frames, message = frames_until_error(path)
    if claimed == 4:
        assert (len(frames), message) == (3, "a.dcm broke off after 3 of 4 frames; copy or export the file again")
    else:
        assert (len(frames), message) == (claimed or 3, "")
        left = len(data) - (claimed or 3) * HW[0] * HW[1]
        assert any(f"{left} bytes after the last frame are no complete frame" in line for line in logged(caplog))


def test_full_colour_with_a_header_of_halved_chroma_is_read_in_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = noise(2, 3)
    ybr = [to_ybr(image) for image in images]
    path = write(tmp_path / "a.dcm", ybr, samples=3, PhotometricInterpretation="YBR_FULL_422", FrameTime=20)
    assert_plays(path, images, slack=2)
    assert logged(caplog) == ["DICOM: the header states YBR_FULL_422, but the pixels have full colour and are read so"]


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.RLELossless])
def test_frame_of_which_a_part_is_missing_is_not_shown(syntax: uid.UID, tmp_path: Path) -> None:
    images = noise(3)
    codes = [CODES[syntax](image) for image in images]
    parts = [part for code in codes for part in thirds(code)]
    path = write(tmp_path / "a.dcm", codes, syntax=syntax, fragments=parts, NumberOfFrames=1)
    data = path.read_bytes()
    for cut in (9, 40, len(codes[2]) // 2):
        path.write_bytes(data[: len(data) - cut])
        frames, message = frames_until_error(path)
        assert (len(frames), message) == (2, "a.dcm broke off after 2 frames; copy or export the file again")


# Files that are not as PS3.10 wants them


def stripped(path: Path, *, keep_meta: bool) -> bytes:
    """The file without its preamble, and without its meta header."""
    data = path.read_bytes()
    meta_bytes = 12 + int.from_bytes(data[140:144], "little")
    return data[132:] if keep_meta else data[132 + meta_bytes :]


@pytest.mark.parametrize("keep_meta", [True, False])
@pytest.mark.parametrize("syntax", [*CODES, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_file_without_preamble_or_meta_header_is_read_with_a_warning(
    syntax: uid.UID, keep_meta: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = noise(2)
    code = CODES.get(syntax, np.ndarray.tobytes)
    path = write(tmp_path / "a.dcm", [code(image) for image in images], syntax=syntax, FrameTime=20)
    path.write_bytes(stripped(path, keep_meta=keep_meta))
    assert_plays(path, images, slack=4 if syntax == uid.JPEGBaseline8Bit else 0)
    (line,) = logged(caplog)
    missing = "preamble" if keep_meta else "preamble and no meta header"
    assert line.startswith(f"DICOM: the file has no {missing}, and is read as ")
    assert line.endswith("fix it with: dcmconv FILE OUT.dcm")


def test_meta_header_without_transfer_syntax_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = noise(2, 3)
    codes = [lossless_jpeg(image) for image in images]
    path = write(tmp_path / "a.dcm", codes, syntax=uid.JPEGLosslessSV1, samples=3, FrameTime=20)
    data = path.read_bytes()
    at = data.index(b"\x02\x00\x10\x00UI")
    end = at + 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    group_length = int.from_bytes(data[140:144], "little") - (end - at)
    path.write_bytes(data[:140] + group_length.to_bytes(4, "little") + data[144:at] + data[end:])
    assert_plays(path, images)
    assert any("has no transfer syntax, and is read as JPEG Lossless" in line for line in logged(caplog))


def test_unknown_compression_without_transfer_syntax_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", [b"\7" * 300] * 2, syntax=uid.RLELossless)
    path.write_bytes(stripped(path, keep_meta=False))
    with pytest.raises(
        SourceFormatError, match=r"a\.dcm states no transfer syntax, and the compression of its pixels is unknown; exp"
    ):
        play(path)


def test_explicit_data_set_whose_header_states_implicit_is_read(tmp_path: Path) -> None:
    images = noise(2)
    path = write(tmp_path / "a.dcm", images)
    data = path.read_bytes()
    at = data.index(b"1.2.840.10008.1.2.1\0")
    path.write_bytes(data[:at] + b"1.2.840.10008.1.2\0\0\0" + data[at + 20 :])
    assert_plays(path, images)


def test_damaged_frames_are_left_out_counted_and_keep_their_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = noise(4)
    frames = [jpeg(image) for image in images]
    frames[2] = frames[2][:60] + bytes(len(frames[2]) - 60)
    path = write(tmp_path / "a.dcm", frames, syntax=uid.JPEGBaseline8Bit, FrameTime=10)
    with caplog.at_level(logging.WARNING), open_dicom(path, fast=False, clock=FakeClock()) as source:
        given = list(source.frames())
        assert source.decode_errors == 1
    assert [frame.t_capture_ns / 1e6 for frame in given] == [0, 10, 30]
    assert [frame.frame_id for frame in given] == [0, 1, 2]
    assert any("1 of 4 frames could not be decoded" in record.message for record in caplog.records)


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.RLELossless])
def test_file_of_which_no_frame_can_be_decoded_is_refused(syntax: uid.UID, tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", [b"\1" * 300] * 2, syntax=syntax)
    with pytest.raises(SourceFormatError, match=r"holds no frame that can be decoded; of the first: .*gdcmconv --raw"):
        play(path)


def test_jpeg_of_another_size_than_in_the_header_is_refused(tmp_path: Path) -> None:
    (image,) = noise(1, hw=(16, 48))
    path = write(tmp_path / "a.dcm", [jpeg(image)], syntax=uid.JPEGBaseline8Bit)
    with pytest.raises(SourceFormatError, match=r"its image has 48 x 16 px .*, not 32 x 24 px"):
        play(path)


def test_frames_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm", noise(50))
    read: list[int] = []

    def counted(file: Any, parts: Any) -> bytes:
        read.append(sum(length for _, length in parts))
        file.seek(parts[0][0])
        return bytes(file.read(parts[0][1]))

    monkeypatch.setattr("usassist.sources.dicom.source.read_span", counted)
    source = open_dicom(path)
    frames = source.frames()
    read.clear()
    next(frames)
    next(frames)
    assert read == [HW[0] * HW[1]] * 2


def test_closing_ends_the_stream_at_the_next_frame(tmp_path: Path) -> None:
    source = open_dicom(write(tmp_path / "a.dcm", noise(5)))
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []


def test_every_real_file_plays_and_none_shows_its_whole_screen_with_text() -> None:
    root = Path(os.environ.get("USASSIST_DATA", ""))
    folders = [root / "ultrasound_dicom", root / "ultrasound_clips_itkpocus"]
    if "USASSIST_DATA" not in os.environ or not all(folder.is_dir() for folder in folders):
        pytest.skip("USASSIST_DATA does not name a folder with ultrasound_dicom and ultrasound_clips_itkpocus")
    paths = sorted(path for folder in folders for path in folder.glob("*.dcm"))
    assert len(paths) >= 11
    for path in paths:
        source = open_dicom(path, crop="auto")
        assert len(list(source.frames())) == source.info.frame_count, path.name
        assert source.decode_errors == 0, path.name
        if not path.name.startswith("color-"):  # these two show only the image
            x1, y1, x2, y2 = source.info.roi_xyxy_px
            assert (x2 - x1) * (y2 - y1) < 0.7 * np.prod(source.info.grab_hw_px), path.name
        limit = source._header.regions.tissue_xyxy_px
        assert limit is None or (np.subtract(source.info.roi_xyxy_px, limit) * [1, 1, -1, -1] >= 0).all(), path.name
    one, other = (play(root / "ultrasound_dicom" / f"US1_{name}.dcm")[0] for name in ("UNCR", "J2KR"))
    np.testing.assert_array_equal(one.image, other.image)
