"""The work between source and sink: the loop of a stream, and the run of a study."""

from usassist.pipeline.association import StreamAssociation
from usassist.pipeline.controls import Controls, answer_to
from usassist.pipeline.stream import Stream
from usassist.pipeline.study import make_study_task, run_study
from usassist.pipeline.summary import StreamSummary
from usassist.pipeline.task import make_association, make_task, modality_of

__all__ = [
    "Controls",
    "Stream",
    "StreamAssociation",
    "StreamSummary",
    "answer_to",
    "make_association",
    "make_study_task",
    "make_task",
    "modality_of",
    "run_study",
]
