"""Magnetic resonance imaging, a study at a time. The room is ready and empty: nothing of MRI runs yet.

Here belongs what MRI needs around an engine, in the files that every modality has:

- ``preprocess.py``: a ``Volume`` of signal → float32 (C, Z, Y, X), normalised as the engine's spec requires
- ``postprocess.py``: what the engine gives → a labelmap, or an output volume with its own unit (a denoised series, a
  perfusion map), and measurements with their uncertainty
- ``task.py``: joins the two with ``engine.infer`` in windows or slices; ``make_task(spec)`` for the table of modalities

Reading DICOM series or raw data belongs to ``usassist/sources``, resampling and windows over a volume to
``usassist/frames``.
"""

__all__: list[str] = []
