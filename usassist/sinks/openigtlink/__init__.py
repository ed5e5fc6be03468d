"""Frames, outlines and results for 3D Slicer and other OpenIGTLink clients.

``serve.py`` is the loop; ``bundle.py`` makes the messages of one frame, ``texts.py`` what they say in words;
``server.py`` and ``client.py`` send them. What a client gets is on the page ``docs/slicer.md``.
"""

from usassist.sinks.openigtlink.serve import serve_openigtlink
from usassist.sinks.openigtlink.server import check_port

__all__ = ["check_port", "serve_openigtlink"]
