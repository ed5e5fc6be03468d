"""Live inputs: whole screens from grabbers, networks, programs and this machine's own screen. One file per kind.

``open_grabber`` maps an address to a grabber. What it gives never leaves ``usassist.sources``: see ``sources/live.py``.
"""
