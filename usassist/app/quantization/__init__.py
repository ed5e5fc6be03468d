"""Making an INT8 file of an engine, and the accuracy gate that it must pass."""
