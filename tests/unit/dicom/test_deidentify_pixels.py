"""Pixels: no letter is left on any frame, the image stays as it was, and what cannot be checked is not written."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import EncapsulatedPDFStorage, JPEGBaseline8Bit
from typer.testing import CliRunner

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of
from tools.identified_dicom import SECRETS, identified, planted_in
from usassist.app.commands.main import app
from usassist.dicom.deidentify import Deidentifier, Pseudonyms, TextReader, deidentify, has_reader, run
from usassist.dicom.deidentify.kinds import Kind
from usassist.dicom.deidentify.masking import masked_frames
from usassist.dicom.deidentify.pictures import Pictures, open_pictures
from usassist.errors import DicomError, UsageError
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.sources.dicom.encoding import read_dataset
from usassist.sources.dicom.frames import find_frames, read_span
from usassist.sources.dicom.header import read_header
from usassist.sources.dicom.pixels import decode_frame

COUNT = 9
LATE = 6  # the frame on which a name is typed into the image, for this frame alone
HOW = Deidentifier(pseudonyms=Pseudonyms(b"k" * 32))


@pytest.fixture(scope="module")
def screens() -> tuple[list[np.ndarray], tuple[int, int, int, int]]:
    """A simulated scanner's screens with an invented banner, and where its image is."""
    scanner = PhantomScanner(PhantomConfig(seed=3, screen_hw_px=(360, 640)))
    frames = [scanner.render(index / 25.0).screen.copy() for index in range(COUNT)]
    x1, y1, _, _ = scanner.scan_xyxy_px
    cv2.putText(frames[LATE], "NOBODY 1951", (x1 + 60, y1 + 90), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235,) * 3, 1)
    return frames, scanner.scan_xyxy_px


@pytest.fixture(scope="module")
def cleaned(
    screens: tuple[list[np.ndarray], Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Dataset, run.RunReport]:
    folder = tmp_path_factory.mktemp("deid")
    identified(screens[0]).save_as(folder / "INVENTED_NOBODY.dcm", enforce_file_format=True)
    report = deidentify(folder / "INVENTED_NOBODY.dcm", folder / "out", HOW)
    (written,) = folder.glob("out/*/*.dcm")
    return folder / "out", dcmread(written), report


def test_every_frame_outside_the_scan_area_is_black(cleaned: Any, screens: Any) -> None:
    _, after, report = cleaned
    x1, y1, x2, y2 = report.objects[0].kept_xyxy_px
    outside = np.ones(after.pixel_array.shape[1:3], bool)
    outside[y1:y2, x1:x2] = False
    assert len(after.pixel_array) == COUNT
    assert not after.pixel_array[:, outside].any()
    left, top, right, bottom = screens[1]
    both = max(0, min(x2, right) - max(x1, left)) * max(0, min(y2, bottom) - max(y1, top))
    assert both > 0.9 * (right - left) * (bottom - top)


def test_a_name_that_stands_on_one_frame_is_black_and_the_rest_is_what_was_decoded(cleaned: Any, screens: Any) -> None:
    _, after, report = cleaned
    x1, y1, x2, y2 = report.objects[0].kept_xyxy_px
    before = np.stack(screens[0])[:, y1:y2, x1:x2]
    kept = after.pixel_array[:, y1:y2, x1:x2]
    assert not kept[LATE][before[LATE] > 225].any()
    changed = (kept != before).any(axis=3)
    assert not kept[changed].any()  # black or the same
    assert 0 < changed.mean() < 0.06
    assert report.objects[0].residual == [0] * COUNT


def test_nothing_invented_is_in_the_bytes_or_names(cleaned: Any) -> None:
    assert planted_in(cleaned[0]) == []
    assert not [secret for secret in SECRETS if secret in str(cleaned[2].document())]


def test_the_object_says_what_was_done_to_it(cleaned: Any) -> None:
    after = cleaned[1]
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == ["113100", "113101"]
    assert (after.PatientIdentityRemoved, after.BurnedInAnnotation) == ("YES", "NO")
    assert after.LongitudinalTemporalInformationModified == "REMOVED"
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.preamble == bytes(128)


@needs_dciodvfy
def test_the_validator_finds_nothing_that_the_original_had_not(cleaned: Any, tmp_path: Path, screens: Any) -> None:
    (path,) = cleaned[0].glob("*/*.dcm")
    plain = identified(screens[0][:1])
    plain.save_as(tmp_path / "before.dcm", enforce_file_format=True)
    assert set(problems_of(path)) <= set(problems_of(tmp_path / "before.dcm"))


def test_files_are_private_and_the_report_is_there(cleaned: Any) -> None:
    out, after, report = cleaned
    assert out.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in out.rglob("*.*")} <= {0o600, 0o700}
    document = json.loads((out / "deidentify.json").read_text())
    assert document == json.loads(json.dumps(report.document()))
    assert document["objects"][0]["uid"] == after.SOPInstanceUID
    assert document["residual_text_frames"] == 0


def test_what_cannot_be_checked_is_refused_and_the_rest_is_written(tmp_path: Path, screens: Any) -> None:
    source = tmp_path / "INVENTED^NOBODY"
    source.mkdir()
    identified(screens[0][:1], number=1).save_as(source / "a.dcm", enforce_file_format=True)
    whole = (source / "a.dcm").read_bytes()
    (source / "b_cut.dcm").write_bytes(whole[: len(whole) - 5000])
    pdf = identified(screens[0][:1], number=3)
    pdf.SOPClassUID = pdf.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    pdf.save_as(source / "c_pdf.dcm", enforce_file_format=True)
    identified([np.full((240, 320), 9, np.uint8)], number=4).save_as(source / "d_empty.dcm", enforce_file_format=True)
    identified(screens[0][:1], number=1).save_as(source / "e_again.dcm", enforce_file_format=True)
    no_uid = identified(screens[0][:1], number=5)
    del no_uid.StudyInstanceUID
    no_uid.save_as(source / "f.dcm", enforce_file_format=True)
    slice_ = identified([np.zeros((64, 64), np.int16)], number=6, modality="CT")
    slice_.save_as(source / "g.dcm", enforce_file_format=True)
    (source / "notes.txt").write_text("INVENTED^NOBODY")
    links = tmp_path / "links.json"
    result = CliRunner().invoke(
        app, ["deidentify", str(source), "--out", str(tmp_path / "out"), "--no-reader", "--links", str(links)]
    )
    assert result.exit_code == 1
    assert len(list(tmp_path.glob("out/*/*.dcm"))) == 1
    reasons = [item["refused"] for item in json.loads((tmp_path / "out/deidentify.json").read_text())["objects"][1:]]
    wanted = ("breaks off", "Encapsulated PDF", "scan area", "was in the input", "no StudyInstanceUID", "usassist[ocr]")
    assert all(part in reason for part, reason in zip(wanted, reasons, strict=True)), reasons
    assert "1 written, 6 refused, 1 files are no DICOM; residual text on 0 of 1 frames" in result.output
    assert not [secret for secret in SECRETS if secret in result.output.replace(str(tmp_path), "")]
    assert links.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(links.read_text())) == 7


class _Stubborn:
    """A reader that reads something else every time."""

    def __init__(self) -> None:
        self._at = 0

    def find(self, image: np.ndarray) -> np.ndarray:
        self._at += 1
        found = np.zeros(image.shape[:2], bool)
        found[:2, 4 * self._at : 4 * self._at + 2] = True
        return found


class _Page:
    """A reader that reads a whole page of text."""

    def find(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], bool)


@pytest.mark.parametrize(("reader", "reason"), [(_Stubborn(), "text is suspected on frame 1"), (_Page(), "a page of")])
def test_an_object_with_text_that_stays_is_not_written(tmp_path: Path, screens: Any, reader: Any, reason: str) -> None:
    identified(screens[0][:1]).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    report = deidentify(tmp_path / "a.dcm", tmp_path / "out", dataclasses.replace(HOW, reader=reader))
    assert reason in report.objects[0].refused
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["deidentify.json"]


@pytest.mark.skipif(not has_reader(), reason="the extra ocr is not installed")
def test_a_name_on_a_ct_slice_is_black_and_every_other_value_stays(tmp_path: Path) -> None:
    yy, xx = np.mgrid[:256, :256]
    values = np.where((yy - 128) ** 2 + (xx - 128) ** 2 < 90**2, 40, -1000).astype(np.int16)
    values += np.random.default_rng(1).normal(0, 12, values.shape).astype(np.int16)
    text = np.zeros(values.shape, np.uint8)
    cv2.putText(text, "NOBODY 1951", (20, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    marked = values.copy()
    marked[text > 0] = 3071
    dataset = identified([marked], modality="CT")
    dataset.BitsStored, dataset.HighBit = 13, 12
    dataset.PixelData = (marked & 0x1FFF | np.int16(0x2000)).astype(np.int16).tobytes()  # something in the spare bits
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    report = deidentify(tmp_path / "a.dcm", tmp_path / "out", dataclasses.replace(HOW, reader=TextReader()))
    assert report.objects[0].refused == ""
    after = dcmread(next(tmp_path.glob("out/*/*.dcm")))
    kept = after.pixel_array
    assert kept[text > 0].max() < 0
    same = kept == values
    assert same.mean() > 0.9
    assert (np.frombuffer(after.PixelData, np.int16).reshape(values.shape)[same] == values[same]).all()
    assert report.objects[0].has_face
    assert after.RecognizableVisualFeatures == "YES"


def test_frames_that_were_compressed_with_loss_say_so(tmp_path: Path, screens: Any) -> None:
    dataset = identified(screens[0][:2])
    coded = [cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in screens[0][:2]]
    del dataset[0xFFFCFFFC]
    dataset.PixelData = encapsulate(coded)
    dataset["PixelData"].is_undefined_length = True
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    report = deidentify(tmp_path / "a.dcm", tmp_path / "out", HOW)
    assert report.objects[0].refused == ""
    after = dcmread(next(tmp_path.glob("out/*/*.dcm")))
    assert (after.LossyImageCompression, after.PhotometricInterpretation, after.NumberOfFrames) == ("01", "RGB", 2)
    x1, y1, x2, y2 = report.objects[0].kept_xyxy_px
    decoded = cv2.imdecode(np.frombuffer(coded[1], np.uint8), cv2.IMREAD_COLOR_RGB)[y1:y2, x1:x2].astype(int)
    kept = after.pixel_array[1, y1:y2, x1:x2]
    seen = kept.any(axis=2)
    assert np.abs(kept[seen] - decoded[seen]).max() <= 3  # two decoders round differently


class _Counted(Pictures):
    """Counts the frames that were decoded."""

    decoded: ClassVar[list[int]] = []

    def samples(self, indices: Iterable[int] | None = None) -> Iterator[Any]:
        for frame in super().samples(indices):
            if indices is None:
                self.decoded.append(1)
            yield frame


def test_a_long_cine_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    identified([np.full((48, 64), index, np.uint8) for index in range(60)]).save_as(path, enforce_file_format=True)
    with path.open("rb") as file:
        pictures = open_pictures(path, read_dataset(file, None), file, Kind.ULTRASOUND)
    counted = _Counted(**{item.name: getattr(pictures, item.name) for item in dataclasses.fields(pictures)})
    given = 0
    for frame in masked_frames(counted, (0, 0, 64, 48), _Nothing()):
        assert frame.samples[0, 0] == given
        given += 1
        assert len(_Counted.decoded) <= given + 30
    assert given == len(_Counted.decoded) == 60


class _Nothing:
    def find(self, image: np.ndarray) -> np.ndarray:
        return np.zeros(image.shape[:2], bool)


def test_an_interrupted_run_and_a_full_disk_leave_nothing(
    tmp_path: Path, screens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    identified(screens[0][:1]).save_as(source / "a.dcm", enforce_file_format=True)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deidentify(source, tmp_path / "out", HOW, on_object=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / ".out.0123.partial").mkdir()  # of a run that was killed
    monkeypatch.setattr(run, "write_object", full)
    with pytest.raises(DicomError, match="the disk is full"):
        deidentify(source, tmp_path / "out", HOW)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_wrong_use_is_named(tmp_path: Path) -> None:
    def call(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["deidentify", "--no-reader", *(str(item) for item in arguments)]).exception

    (tmp_path / "out").mkdir()
    (tmp_path / "a.dcm").write_bytes(b"")
    identified([np.zeros((8, 8), np.uint8)]).save_as(tmp_path / "b.dcm", enforce_file_format=True)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "session.toml").touch()
    assert "already exists" in str(call(tmp_path / "b.dcm", "--out", tmp_path / "out"))
    assert "is no DICOM file; of a clip" in str(call(tmp_path / "a.dcm", "--out", tmp_path / "new"))
    assert "usassist session verify" in str(call(tmp_path / "s", "--out", tmp_path / "new"))
    assert "does not exist" in str(call(tmp_path / "none", "--out", tmp_path / "new"))
    assert "must not lie in" in str(call(tmp_path, "--out", tmp_path / "new", "--key-file", tmp_path / "new/key"))
    assert "no rectangle" in str(call(tmp_path, "--out", tmp_path / "new", "--crop", "1,2,3"))
    assert isinstance(call(tmp_path, "--out", tmp_path / "new", "--keep-dates", "all"), UsageError)
    assert not (tmp_path / "new").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_headers_leak_nothing_and_end_in_an_object_or_a_reason(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(20, 60, (2, 32, 48), np.uint8)
    identified(list(noise)).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    whole = (tmp_path / "a.dcm").read_bytes()
    pixels_at = whole.rfind(b"\xe0\x7f\x10\x00")
    how = dataclasses.replace(HOW, crop=(0, 0, 48, 32), keep_dates=True)
    rng = np.random.default_rng(4)
    written = 0
    for number in range(40):
        changed = bytearray(whole)
        for place in rng.integers(132, pixels_at, rng.choice([1, 2, 5, 20])):
            changed[place] = rng.integers(256)
        (tmp_path / "b.dcm").write_bytes(changed)
        report = deidentify(tmp_path / "b.dcm", tmp_path / str(number), how)
        assert len(report.objects) == 1
        written += len(report.written)
        assert planted_in(tmp_path / str(number)) == []
    assert 0 < written < 40


def test_a_header_that_cannot_be_trusted_is_not_repeated(tmp_path: Path, screens: Any) -> None:
    dataset = identified(screens[0][:1])
    dataset.PhotometricInterpretation = "NOBODY"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    other = identified(screens[0][:1], number=2)
    other.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    changed = (tmp_path / "b.dcm").read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.19510203.47\0", 1)
    (tmp_path / "b.dcm").write_bytes(changed)
    reasons = [deidentify(tmp_path / f"{name}.dcm", tmp_path / name, HOW).objects[0].refused for name in "ab"]
    assert reasons == ["its photometric interpretation is not supported", "its transfer syntax is unknown"]


@pytest.mark.parametrize("name", ["OBXXXX1A_rle_2frame", "JPGLosslessP14SV1_1s_1f_8b", "US1_J2KR"])
def test_real_files_of_other_codings_are_black_or_as_decoded(name: str, tmp_path: Path) -> None:
    path = Path(os.environ.get("USASSIST_DATA", "")) / "ultrasound_dicom" / f"{name}.dcm"
    if "USASSIST_DATA" not in os.environ or not path.is_file():
        pytest.skip("USASSIST_DATA names no folder with ultrasound_dicom")
    (item,) = deidentify(path, tmp_path / "out", HOW).objects
    assert item.refused == ""
    header = read_header(path)
    with path.open("rb") as file:
        spans = find_frames(header, file).spans
        before = np.stack([decode_frame(header, read_span(file, span)) for span in spans])
    after = dcmread(next(tmp_path.glob("out/*/*.dcm"))).pixel_array.reshape(before.shape)
    changed = after != before
    assert not after[changed].any()
    x1, y1, x2, y2 = item.kept_xyxy_px
    inside = (slice(None), slice(y1, y2), slice(x1, x2))
    assert changed[inside].mean() < 0.1
    assert after[inside].any()
    assert (item.tags.before - item.tags.after) > 10
