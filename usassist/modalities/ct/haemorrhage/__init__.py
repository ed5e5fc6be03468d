"""Intracranial haemorrhage on unenhanced CT of the head: an engine that scores and outlines slice by slice."""

__all__: list[str] = []
