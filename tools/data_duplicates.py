"""Prints the frames that occur more than once in the data sets, by part: ``python -m tools.data_duplicates``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from usassist.config import data_dir
from usassist.errors import UsAssistError
from usassist.training.data.duplicates import (
    LEAST_CORRELATION,
    MOST_BITS,
    TRAINING,
    VALIDATION,
    FrameFile,
    Pair,
    find_pairs,
    list_frames,
)

__all__ = ["main", "render"]


def render(frames: Sequence[FrameFile], pairs: Sequence[Pair]) -> str:
    """The table: for every two parts with common pictures, the pairs and the frames of each that are in one."""
    sizes = Counter(_part(frame) for frame in frames)
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((_part(pair.first), _part(pair.second)), []).append(pair)
    lines = ["| part | frames | part | frames | pairs | of them mirrored | frames of the first | of the second |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for (first, second), found in groups.items():
        mirrored = sum(pair.mirrored for pair in found)
        ones, others = {pair.first.name for pair in found}, {pair.second.name for pair in found}
        lines.append(
            f"| {first} | {sizes[first]} | {second} | {sizes[second]} | {len(found)} | {mirrored} | {len(ones)} "
            f"| {len(others)} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and every pair if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, default=MOST_BITS, help="bits of 64 in which two hashes may differ")
    parser.add_argument("--correlation", type=float, default=LEAST_CORRELATION, help="least correlation of a pair")
    parser.add_argument("--list", action="store_true", help="print every pair of two different parts as well")
    options = parser.parse_args(arguments)
    try:
        frames = list_frames(data_dir(), (*TRAINING, *VALIDATION))
        pairs = find_pairs(frames, most_bits=options.bits, least_correlation=options.correlation)
    except UsAssistError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(render(frames, pairs) + "\n")
    if options.list:
        for pair in pairs:
            if _part(pair.first) != _part(pair.second):
                sys.stdout.write(
                    f"{_part(pair.first)} {pair.first.name}  {_part(pair.second)} {pair.second.name}  "
                    f"{pair.bits} bits, correlation {pair.correlation:.3f}{', mirrored' * pair.mirrored}\n"
                )
    return 0


def _part(frame: FrameFile) -> str:
    return f"{frame.folder}/{frame.part}".rstrip("/")


if __name__ == "__main__":
    sys.exit(main())
