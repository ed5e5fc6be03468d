"""One room per imaging modality: frames or volumes to tensors, and tensors to results.

:mod:`usassist.modalities.table` lists the rooms. Each has the same files, as far as it has any: ``preprocess.py``,
``postprocess.py`` and ``task.py``; see ``docs/modalities.md``.
"""

from usassist.modalities.protocols import Association, StudyRun, StudyTask, StudyView, Task, TaskEngine, Tensors
from usassist.modalities.table import MODALITIES, Kind, Modality, find_modality, list_modalities, stream_titles

__all__ = [
    "MODALITIES",
    "Association",
    "Kind",
    "Modality",
    "StudyRun",
    "StudyTask",
    "StudyView",
    "Task",
    "TaskEngine",
    "Tensors",
    "find_modality",
    "list_modalities",
    "stream_titles",
]
