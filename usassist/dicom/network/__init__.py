"""Talking to a PACS: nodes, the queue, DIMSE, DICOMweb, and the folder of received studies."""
