"""DICOM objects made of a sweep: one module per kind of object, all of the same content."""
