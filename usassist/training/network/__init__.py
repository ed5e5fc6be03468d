"""The detect-and-segment network: encoder, heads and loss. Needs torch."""
