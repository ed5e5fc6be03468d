"""Where frames come from: one module per kind of source, and one address for each.

``open_source`` maps an address to a source; a source is imported only when it is asked for.
"""

from usassist.sources.address import open_source
from usassist.sources.base import Crop, Source, SourceOptions, parse_crop

__all__ = ["Crop", "Source", "SourceOptions", "open_source", "parse_crop"]
