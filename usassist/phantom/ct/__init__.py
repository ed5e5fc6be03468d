"""Simulated CT: volumes with known truth, made by computation alone."""
