"""DICOM files as a source: single ultrasound frames and cine loops."""
