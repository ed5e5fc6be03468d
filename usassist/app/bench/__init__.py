"""Measuring the program itself: one module per thing that is measured, and what they share."""
