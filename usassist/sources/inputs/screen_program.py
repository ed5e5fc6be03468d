"""Run as a program: reads a part of the X11 screen and writes it to standard output as NUT.

It is a separate process and imports PyAV alone, not through ``usassist.common.pyav``: x11grab crashes in a process that
has imported cv2, because each of the two wheels brings its own libxcb.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(display: str, left: str, top: str, width: str, height: str, rate: str) -> None:
    """Copy frames until the display or the reader is gone."""
    import av

    options = {
        "video_size": f"{width}x{height}",
        "grab_x": left,
        "grab_y": top,
        "framerate": rate,
        "draw_mouse": "0",
        "probesize": "32",
    }
    with (
        av.open(display, "r", format="x11grab", options=options) as screen,
        av.open("pipe:1", "w", format="nut", options={"flush_packets": "1"}) as output,
    ):
        source = screen.streams.video[0]
        # Packets are not passed on as they are: the stream's own tag would be lost, and another pixel format be read.
        target = output.add_stream("rawvideo", rate=int(rate))
        target.width, target.height = source.codec_context.width, source.codec_context.height
        target.pix_fmt = source.codec_context.pix_fmt or "bgr0"
        if source.time_base is not None:
            target.codec_context.time_base = source.time_base
        for frame in screen.decode(source):
            output.mux(target.encode(frame))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(getattr(error, "strerror", None) or str(error))
