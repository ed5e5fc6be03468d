"""Live inputs: whole screens from frame grabbers, networks, programs and this machine's display. One file per kind.

``open_grabber`` maps an address to a grabber. Whole screens never leave ``usassist.sources``: see ``sources/live.py``.
"""
