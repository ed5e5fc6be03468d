"""What a recorded sweep comes to: nodules with their best planes, what was not seen, and with what it was made.

Everything is taken from the recording; no engine runs. ``docs/report.md`` describes every field.
"""

from usassist.session.summary.document import DOCUMENT_VERSION, SweepDocument, json_schema
from usassist.session.summary.earlier import Earlier, parse_same, read_earlier
from usassist.session.summary.parts import Nodule, Section
from usassist.session.summary.summarise import LEAST_FRAMES, summarise

__all__ = [
    "DOCUMENT_VERSION",
    "LEAST_FRAMES",
    "Earlier",
    "Nodule",
    "Section",
    "SweepDocument",
    "json_schema",
    "parse_same",
    "read_earlier",
    "summarise",
]
