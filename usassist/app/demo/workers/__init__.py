"""Processes of the demo page; see ``app/runtime/process_table.py``."""
