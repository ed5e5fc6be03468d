"""Consumers of the bus: recorder, overlay, panel. They import nothing of engines, frames or sources."""
