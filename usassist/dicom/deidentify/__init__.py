"""De-identification of DICOM images: attributes by PS3.15, and the pixels of every frame.

=============== ==========================================================================================
profile, tags   which attributes stay, and the new data set
key, dates      UIDs, pseudonyms and shifted dates by a secret key
kinds, pictures which objects are accepted, and their frames
scan, masking   the part of a screen that is kept, text on it, and the check of every frame
reader          the text reader
writing, report the file that is written, and what is said about it
run             a whole input
=============== ==========================================================================================
"""

from usassist.dicom.deidentify.key import Pseudonyms, read_key
from usassist.dicom.deidentify.reader import TextReader, has_reader
from usassist.dicom.deidentify.report import RunReport, summary_lines
from usassist.dicom.deidentify.run import REPORT_NAME, Deidentifier, deidentify

__all__ = [
    "REPORT_NAME",
    "Deidentifier",
    "Pseudonyms",
    "RunReport",
    "TextReader",
    "deidentify",
    "has_reader",
    "read_key",
    "summary_lines",
]
