"""One folder per imaging modality: frames or volumes to tensors, and tensors to results."""
