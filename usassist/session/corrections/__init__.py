"""Corrections of results that readers made in other programs: imported beside a session, and labels for training.

Nothing that was recorded is changed. ``record.py`` has the file, ``importing.py`` the import, ``coco_file.py`` and
``seg_file.py`` the formats, ``labelled.py`` the frames with their masks.
"""

from usassist.session.corrections.checking import corrections_problems
from usassist.session.corrections.importing import ROLES, ImportOutcome, import_corrections
from usassist.session.corrections.labelled import LabelledFrame, export_labels, labelled_frames
from usassist.session.corrections.record import CORRECTIONS_FILE, current_frames, read_imports

__all__ = [
    "CORRECTIONS_FILE",
    "ROLES",
    "ImportOutcome",
    "LabelledFrame",
    "corrections_problems",
    "current_frames",
    "export_labels",
    "import_corrections",
    "labelled_frames",
    "read_imports",
]
