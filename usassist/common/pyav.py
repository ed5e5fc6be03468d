"""PyAV, imported after OpenCV; all other modules import ``av`` from here.

In a process that imports PyAV before OpenCV, ``cv2.imshow`` hangs: each of the two wheels brings its own libxcb.
"""

from __future__ import annotations

import cv2  # noqa: F401  # before av

# isort: split
import av
import av.codec.hwaccel
import av.container
import av.error
import av.filter
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

__all__ = ["ColorRange", "Colorspace", "PictureType", "VideoReformatter", "av"]
