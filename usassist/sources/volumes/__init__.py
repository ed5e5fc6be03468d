"""Series of slices (CT, MR) and NIfTI files as volumes.

``list_series`` says what an input holds, ``read_volume`` reads one series of it. An input is a folder, one DICOM file,
a zip of DICOM files, or a NIfTI file. Nothing here says who a patient is: see :class:`SeriesFacts`.
"""

from usassist.sources.volumes.facts import PatientFacts, PlaneTurn, SeriesFacts, SliceRef, StudyInput
from usassist.sources.volumes.nifti import read_labelmap, write_nifti
from usassist.sources.volumes.reading import list_series, read_volume

__all__ = [
    "PatientFacts",
    "PlaneTurn",
    "SeriesFacts",
    "SliceRef",
    "StudyInput",
    "list_series",
    "read_labelmap",
    "read_volume",
    "write_nifti",
]
