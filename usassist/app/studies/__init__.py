"""A study through an engine, from its files to a folder with the result. For commands, the worklist and the demo.

Nothing here knows what an engine looks for: the task says how its answers are shown
(:class:`usassist.modalities.StudyView`) and which series it refuses.
"""

from usassist.app.studies.answer import Progress, StudyOutcome, Writer, answer_study, open_study_engine
from usassist.app.studies.document import StudyDocument, json_schema
from usassist.app.studies.files import NOTICE, ResultFolder, check_new_folder, describe_study
from usassist.app.studies.montage import draw_montage
from usassist.app.studies.pictures import (
    HEAT_STEPS_RGB,
    SideMarks,
    blend_heat,
    draw_outlines,
    heat_rgb,
    side_marks,
    to_grey,
)
from usassist.app.studies.planes import plane_centre_lps_mm, top_planes

__all__ = [
    "HEAT_STEPS_RGB",
    "NOTICE",
    "Progress",
    "ResultFolder",
    "SideMarks",
    "StudyDocument",
    "StudyOutcome",
    "Writer",
    "answer_study",
    "blend_heat",
    "check_new_folder",
    "describe_study",
    "draw_montage",
    "draw_outlines",
    "heat_rgb",
    "json_schema",
    "open_study_engine",
    "plane_centre_lps_mm",
    "side_marks",
    "to_grey",
    "top_planes",
]
