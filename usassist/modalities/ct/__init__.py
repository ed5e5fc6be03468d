"""Computed tomography, a study at a time. The room is ready and empty: nothing of CT runs yet.

Here belongs what CT needs around an engine, in the files that every modality has:

- ``preprocess.py``: a ``Volume`` in HU → float32 (C, Z, Y, X), windowed and scaled as the engine's spec requires
- ``postprocess.py``: scores of a slab → labels; a labelmap → measurements (mL, cm², mean HU) with their uncertainty
- ``task.py``: joins the two with ``engine.infer`` in windows or slices; ``make_task(spec)`` for the table of modalities

Reading DICOM series belongs to ``usassist/sources``, resampling and windows over a volume to ``usassist/frames``.
"""

__all__: list[str] = []
