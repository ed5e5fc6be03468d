"""Computed tomography, a study at a time: haemorrhage in the head, and body composition in the abdomen.

``task.py`` chooses the task of an engine; each task has a room of its own, with the files that every modality has
(``preprocess.py``, ``postprocess.py``, ``task.py``). Reading series belongs to ``usassist/sources/volumes``.
"""

__all__: list[str] = []
