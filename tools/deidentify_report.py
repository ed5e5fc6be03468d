"""What ``usassist deidentify`` leaves: residual text per frame, and attributes before and after.

On phantom screens with an invented banner, with an invented name written into the image as well, whose letters are
known to the pixel; and on each ultrasound DICOM file of the data folder, alone, because some of them share a UID.

::

    python -m tools.deidentify_report [--frames 16] [--no-reader]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread

from tools.identified_dicom import identified, planted_in
from usassist.dicom.deidentify import Deidentifier, Pseudonyms, RunReport, TextReader, deidentify, read_key
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.phantom.config import LAYOUTS

UInt8Array = npt.NDArray[np.uint8]

_LABELS = (("INVENTED^NOBODY SIM-4711", "corner"), ("born 03.02.1951", "corner"))
_DARKER = 24  # letters are this much brighter than the same pixel without them


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=16, help="of each phantom cine")
    parser.add_argument("--no-reader", action="store_true", help="without the text reader")
    options = parser.parse_args()
    how = Deidentifier(pseudonyms=Pseudonyms(read_key(None)), reader=None if options.no_reader else TextReader())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, dataset, letters in _phantoms(options.frames):
            source, out = folder / f"{name}.dcm", folder / name
            dataset.save_as(source, enforce_file_format=True)
            report = deidentify(source, out, how)
            left = _letters_left(out, letters)
            _print(name, report)
            print(f"   letters left: {left} of {letters.sum()} px; invented texts left in bytes: {planted_in(out)}")  # noqa: T201
        data = os.environ.get("USASSIST_DATA")
        for number, path in enumerate(sorted(Path(data, "ultrasound_dicom").glob("*.dcm")) if data else ()):
            _print(path.stem, deidentify(path, folder / f"data {number}", how))


def _phantoms(frames: int) -> Iterator[tuple[str, Dataset, npt.NDArray[np.bool_]]]:
    """Name, object, and where letters stand: bool (frames, H, W)."""
    for seed, layout in enumerate(LAYOUTS):
        plain = PhantomConfig(seed=seed, layout=layout)  # type: ignore[arg-type]  # the config checks it
        written = dataclasses.replace(plain, labels=(*(plain.labels or ()), *_LABELS))
        screens, letters = [], []
        scanner, without = PhantomScanner(written), PhantomScanner(dataclasses.replace(written, labels=()))
        x1, y1, x2, y2 = scanner.scan_xyxy_px
        for index in range(frames):
            screen = scanner.render(index / 25.0).screen
            clean = without.render(index / 25.0).screen
            marked = screen.max(axis=2).astype(np.int16) - clean.max(axis=2) > _DARKER
            marked[:y1], marked[:, :x1], marked[y2:], marked[:, x2:] = False, False, False, False
            if layout != "bare":  # the banner and the settings, outside the scan area
                outside = screen.max(axis=2) > 100
                outside[y1:y2, x1:x2] = False
                marked |= outside
            screens.append(screen)
            letters.append(marked)
        yield f"phantom {layout}", identified(screens, area=None), np.stack(letters)


def _letters_left(out: Path, letters: npt.NDArray[np.bool_]) -> int:
    """Pixels of letters that are not black."""
    for path in out.glob("*/*.dcm"):
        frames = dcmread(path).pixel_array.max(axis=3)
        return int(np.count_nonzero(frames[letters] > 0))
    return -1


def _print(name: str, report: RunReport) -> None:
    for item in report.objects:
        if item.refused:
            print(f"{name}: refused: {item.refused}")  # noqa: T201
            continue
        done = ", ".join(f"{names.total()} {action}" for action, names in sorted(item.tags.done.items()))
        size = item.frame_px
        print(  # noqa: T201
            f"{name}: {item.frames} frames, residual text per frame {sorted(set(item.residual))}, "
            f"text masked on {np.mean(item.text_px) / size:.2%} (max {max(item.text_px) / size:.2%}), "
            f"by the check alone {np.mean(item.second_px) / size:.2%}; outside {np.mean(item.outside_px) / size:.1%}"
        )
        print(f"   attributes {item.tags.before} -> {item.tags.after}: {done}")  # noqa: T201


if __name__ == "__main__":
    main()
