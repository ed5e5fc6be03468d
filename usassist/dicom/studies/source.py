"""The DICOM series that a volume was read from, as the objects made of it refer to it.

It holds who the patient is: objects of a study carry that, because they go to the archive that has the images. It goes
nowhere else, so nothing here has a ``repr``, and no message quotes a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from usassist.dicom.common import code_item, short_text
from usassist.dicom.objects.content import EngineUsed
from usassist.dicom.objects.report_items import nameless
from usassist.dicom.objects.terms import ABNORMAL_STRUCTURE, Term
from usassist.dicom.studies.terms import Segment, segment_of
from usassist.dicom.uids import derived_uid
from usassist.errors import DicomError
from usassist.sources.volumes import StudyInput
from usassist.volumes import StudyResult

__all__ = ["SERIES_NUMBERS", "SourceSeries", "StudyContent", "equipment_items"]

SERIES_NUMBERS = {"seg": 9001, "labelmap": 9002, "report": 9003}
"""Kind of object → number of its series: high, so that it is none of the scanner's."""

_PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
)
_CLINICAL_TRIAL = range(0x00120010, 0x00120061)  # modules of a trial (DICOM PS3.3 C.7.1.3, C.7.2.3)
_IMAGE = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_EMPTY_WHERE_MISSING = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SourceSeries:
    """Headers of a series, cut down to what objects need of them.

    Attributes
    ----------
    headers : of its files, in order of the planes; without pixels
    file_of_plane : for each plane of the volume the index into `headers`
    frame_of_plane : for each plane its frame in that file, from 1
    """

    headers: tuple[Dataset, ...]
    file_of_plane: tuple[int, ...]
    frame_of_plane: tuple[int, ...]

    @classmethod
    def read(cls, study: StudyInput) -> SourceSeries:
        """Read the headers of a study's files again.

        Raises
        ------
        DicomError
            If the study was not read from DICOM, or its images cannot be referred to.
        SourceError
            If a file is gone.
        """
        if not study.slices:
            raise DicomError(
                "the study was not read from DICOM images, so no DICOM object can refer to them; "
                "use the .nii.gz, or run it on the DICOM series"
            )
        headers = tuple(_cut(header) for header in study.dicom_files())
        index = {header.get("SOPInstanceUID"): number for number, header in enumerate(headers)}
        try:
            files = tuple(index[plane.sop_instance_uid] for plane in study.slices)
        except KeyError:
            raise DicomError("the images were changed while the study was processed; run it again") from None
        if any(not header.get("StudyInstanceUID") or not header.get("SeriesInstanceUID") for header in headers):
            raise DicomError(
                "an image has no UID of its study or series, so no object can refer to it; export it again"
            )
        return cls(headers, files, tuple(plane.frame_number for plane in study.slices))

    @property
    def is_multi_frame(self) -> bool:
        """True where one file holds several planes."""
        return "PerFrameFunctionalGroupsSequence" in self.headers[0]

    @property
    def series_uid(self) -> str:
        """UID of the series. Never log it."""
        return str(self.headers[0].SeriesInstanceUID)

    def for_highdicom(self, indices: Sequence[int]) -> list[Dataset]:
        """Some of the headers without names of people, which highdicom would quote in warnings."""
        return [nameless(self.headers[index]) for index in indices]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class StudyContent:
    """What the objects of a study are made of.

    Attributes
    ----------
    study : as it was read
    result : of the study, on the grid of the volume
    labels : label id → name, as the engine has them
    codes : label id → code, as the engine has them; used where the name is none that is known
    engine : what answered
    source : the series that it was read from
    thresholds : label id → the least score of the series at which it counts as found
    notes : further statements for the report, for example which cut-off set was used; no identity
    """

    study: StudyInput
    result: StudyResult
    labels: Mapping[int, str]
    engine: EngineUsed
    source: SourceSeries
    codes: Mapping[int, Term] = field(default_factory=dict)
    thresholds: Mapping[int, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        """Compute the digest of the answer, on which the UIDs rest."""
        if not self.digest:
            object.__setattr__(self, "digest", _digest(self))

    def uid(self, *parts: object) -> str:
        """A UID that follows from the source, the engine, the answer and `parts`."""
        return derived_uid("study result", self.source.series_uid, self.digest, *map(str, parts))

    @property
    def looks_for_abnormalities(self) -> bool:
        """False where every label of the engine is normal anatomy."""
        return any(self.segment_of(label).category == ABNORMAL_STRUCTURE for label in self.labels)

    def present_labels(self) -> dict[int, int]:
        """Label id → segment number, from 1, of the labels that are in the labelmap."""
        answer = self.result.answer
        if answer is None or answer.labelmap is None:
            return {}
        seen = np.zeros(256, bool)
        for plane in answer.labelmap:
            seen |= np.bincount(plane.ravel(), minlength=256) > 0
        return {int(value) - 1: number for number, value in enumerate(np.flatnonzero(seen[1:]) + 1, 1)}

    def labelled_planes(self) -> list[int]:
        """Indices of the planes that have labels."""
        answer = self.result.answer
        if answer is None or answer.labelmap is None:
            return []
        return [z for z, plane in enumerate(answer.labelmap) if plane.any()]

    def name_of(self, label_id: int) -> str:
        """Name of a label of the engine."""
        return self.labels.get(label_id, f"label_{label_id}")

    def segment_of(self, label_id: int) -> Segment:
        """What a label is."""
        return segment_of(self.name_of(label_id), self.codes.get(label_id))

    def is_found(self, label_id: int) -> bool | None:
        """Whether the score of the series reaches the threshold of a label; None where it is not scored by one."""
        answer, threshold = self.result.answer, self.thresholds.get(label_id)
        if answer is None or threshold is None:
            return None
        for item in answer.measurements:
            if item.name == "study_score" and item.label_id == label_id and item.value is not None:
                return item.value >= threshold
        return None

    def stored_plane(self, z: int) -> npt.NDArray[np.uint8]:
        """The labels of a plane as its image is stored, uint8 (rows, columns): the volume may have been turned."""
        answer = self.result.answer
        assert answer is not None
        assert answer.labelmap is not None
        return self.study.turn.undo(answer.labelmap[z])

    def base(self, *, kind: str, modality: str, description: str) -> Dataset:
        """The modules Patient and General Study of the source, and General Series and Equipment of ours."""
        dataset = Dataset()
        for element in self.source.headers[0]:
            if element.keyword in _PATIENT_AND_STUDY or int(element.tag) in _CLINICAL_TRIAL:
                dataset.add(element)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.Modality = modality
        dataset.SeriesInstanceUID = self.uid("series", kind)
        dataset.SeriesNumber = SERIES_NUMBERS[kind]
        dataset.SeriesDescription = short_text(f"{description} (research use, not a medical device)")
        dataset.Manufacturer = self.engine.manufacturer
        dataset.ManufacturerModelName = "usassist"
        dataset.SoftwareVersions = self.engine.software_version
        dataset.ContributingEquipmentSequence = equipment_items(self.engine)
        return dataset


def equipment_items(engine: EngineUsed) -> list[Dataset]:
    """One item of the Contributing Equipment Sequence: the engine that answered."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item("109102", "DCM", "Processing Equipment")]
    item.Manufacturer = engine.manufacturer
    item.ManufacturerModelName = short_text(engine.engine_id)
    item.SoftwareVersions = engine.version
    weights = f"; weights SHA-256 {engine.weights_sha256}" if engine.weights_sha256 else ""
    what = f"outlined and measured; {engine.backend} {engine.precision}".rstrip()
    item.ContributionDescription = f"{what}{weights}. {engine.research_use}"[:1024]
    return [item]


def _cut(header: Dataset) -> Dataset:
    """The elements that are needed, as text of UTF-8; what must be there, if empty, is."""
    header.decode()
    cut = Dataset()
    for element in header:
        if element.keyword in _PATIENT_AND_STUDY or element.keyword in _IMAGE or int(element.tag) in _CLINICAL_TRIAL:
            cut.add(element)
    for keyword in _EMPTY_WHERE_MISSING:
        if keyword not in cut:
            setattr(cut, keyword, None)
    cut.SpecificCharacterSet = "ISO_IR 192"
    return cut


def _digest(content: StudyContent) -> str:
    """Of everything that stands in the objects beside the source."""
    result, engine = content.result, content.engine
    digest = hashlib.sha256(repr((str(result.state), str(result.cause), result.reason, content.notes, engine)).encode())
    digest.update(
        repr(
            (sorted(content.labels.items()), sorted(content.codes.items()), sorted(content.thresholds.items()))
        ).encode()
    )
    if result.answer is not None:
        digest.update(repr((result.answer.found, result.answer.measurements)).encode())
        for scores in result.answer.plane_scores:
            digest.update(repr((scores.name, scores.label_id, scores.scores.tolist())).encode())
        if result.answer.labelmap is not None:
            for plane in result.answer.labelmap:
                digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()
