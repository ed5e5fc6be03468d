"""A real OpenIGTLink server (pyigtl) in a process of its own: images with transforms, in step.

``python -m tests.doubles.igtl_server COUNT VERSION``: prints its port, then sends `COUNT` images of 96 x 64 px, 30
a second once a client is there, each with the transform of the same stamp. The value of a pixel is its column, and in
the first row the number of the image.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pyigtl

HW_PX = (64, 96)
BEGIN_S = 1_700_000_000.25


def picture(number: int) -> np.ndarray:
    """Pixels of one image, uint8 (1, H, W)."""
    image = np.broadcast_to(np.arange(HW_PX[1], dtype=np.uint8), (1, *HW_PX)).copy()
    image[0, 0] = number % 256
    return image


def main() -> None:
    """Serve until all images were sent and the client has gone, or for 20 s."""
    count, version = int(sys.argv[1]), int(sys.argv[2])
    server = pyigtl.OpenIGTLinkServer(port=0, local_server=True)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    end_s = time.monotonic() + 20
    while not server.is_connected() and time.monotonic() < end_s:
        time.sleep(0.005)
    for number in range(count):
        stamp_s = BEGIN_S + number / 32  # exact in binary
        matrix = np.diag([0.1, 0.2, 1.0, 1.0])
        matrix[:3, 3] = 5.0, 6.0, 7.0
        image = pyigtl.ImageMessage(
            picture(number), ijk_to_world_matrix=matrix, world_coordinate_system="ras", timestamp=stamp_s
        )
        probe = np.eye(4)
        probe[:3, 3] = number, 0.5, -2.25
        transform = pyigtl.TransformMessage(probe, timestamp=stamp_s, device_name="ProbeToReference")
        text = pyigtl.StringMessage("Invented^Patient", timestamp=stamp_s, device_name="patient-last-name")
        image.device_name = "Image_Reference"
        for message in (text, image, transform):
            message.header_version = version
            if version > 1 and message is transform:
                message.metadata = {"TransformStatus": "OK" if number % 3 else "OUT_OF_VIEW"}
            server.send_message(message, wait=False)
        time.sleep(1 / 30)
    while server.is_connected() and time.monotonic() < end_s:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
