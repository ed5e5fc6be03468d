"""Run as a program: reads a part of the X11 screen and writes it to standard output as NUT.

It is a separate process and imports PyAV alone, not through ``usassist.common.pyav``: x11grab crashes in a process that
has imported cv2, because each of the two wheels brings its own libxcb.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(display: str, left: str, top: str, width: str, height: str, rate: str) -> None:
    """Copy packets until the display or the reader is gone."""
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
        target = output.add_stream_from_template(source)
        for packet in screen.demux(source):
            if packet.size:
                packet.stream = target
                output.mux(packet)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(getattr(error, "strerror", None) or str(error))
