"""INT8 of a trained network: ranges from calibration frames, and the rounding of the weights."""
