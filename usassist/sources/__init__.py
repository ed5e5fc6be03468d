"""Where frames come from: one module per kind of source, each with its own address.

``open_source`` maps an address to a source and imports only the module that it needs. To add a source, see
``docs/sources.md``: a file source is one module here with ``open_address`` and one line in ``address.py``; a live input
is one module in ``inputs/`` with ``open_grabber`` and one line in ``inputs/address.py``.
"""

from usassist.sources.address import open_source
from usassist.sources.base import Crop, Source, SourceOptions, parse_crop, parse_scale

__all__ = ["Crop", "Source", "SourceOptions", "open_source", "parse_crop", "parse_scale"]
