"""The tabs of the demo page for studies: a volume is chosen or given, looked at plane by plane, and answered.

``table`` says what each modality offers, ``page`` and ``events`` are Gradio's, ``desk`` does what they ask for,
``answering`` runs the workers, ``bundle`` and ``routes`` feed the viewer (``slices*``, beside this folder).
"""
