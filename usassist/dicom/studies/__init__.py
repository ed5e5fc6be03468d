"""DICOM objects of a study of volumes: a series written, and results as segmentation and structured report."""
