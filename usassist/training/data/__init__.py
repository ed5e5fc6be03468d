"""The training frames: read, checked, cleaned, varied and drawn into batches."""
