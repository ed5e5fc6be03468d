"""Simulated CT in HU: anatomy made of formulas, and what a scanner makes of it. Needs no data set."""
