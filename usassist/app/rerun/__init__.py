"""Rerunning a recorded session through the pipeline, and comparing the results."""
