"""Utilities for every layer. Nothing here is about ultrasound or imports the rest of usassist."""
