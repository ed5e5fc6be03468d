"""The overlay: a frame with its own result drawn on it, in a window or in a video file.

The window imports OpenCV and never PyAV, because a process that has imported ``av`` before ``cv2`` cannot show a
window; so importing this package imports neither ``window`` nor ``video``.
"""

from usassist.sinks.overlay.draw import Painter

__all__ = ["Painter"]
