"""Reads corrections from a COCO file, as CVAT, Label Studio and others write it.

Images are found by their file name, ``00000012.png`` as ``usassist session export`` names them, because tools number
images anew. A folder or a prefix before it does not matter (Label Studio puts one there at the upload). Messages name
images and annotations by their ids, and never quote a name from the file: it could be a patient's.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError
from usassist.session.corrections.claims import ClaimedRegion, FrameClaim, Reading
from usassist.session.corrections.coco_masks import looks_traced, polygons_mask, run_length_mask
from usassist.session.corrections.regions import Region

__all__ = ["read_coco"]

_NAME = re.compile(r"(?:^|[\\/_-])(\d{8})\.(?:png|jpe?g)$", re.IGNORECASE)
_LISTS = ("images", "annotations", "categories")


def read_coco(content: bytes, where: str, reading: Reading, through_centres: bool | None = None) -> list[FrameClaim]:
    """What a file says about each of its images.

    Parameters
    ----------
    content : of the file
    where : the file, for messages
    reading : what is known of the session
    through_centres : how its polygons run, see :func:`polygons_mask`; None = along the edges of pixels, and a file
        whose polygons look otherwise is refused

    Raises
    ------
    SessionError
        If the file is no COCO, contradicts itself, or does not belong to the session.
    """
    document = _document(content, where)
    if through_centres is None:
        _check_edges(document["annotations"], where)
    info = document.get("info")
    of_session = info.get("session_id") if isinstance(info, dict) else None
    if of_session is not None and of_session != reading.session_id:
        raise SessionError(f"{where} belongs to another session; name the session that it was exported from")
    if not document["categories"]:
        raise SessionError(f"{where} has no categories; give the label {reading.known_labels} there, and export again")
    _unique(document["categories"], "category", where)
    names = {category["id"]: category.get("name") for category in document["categories"]}
    frames = _frames(document["images"], where, reading)
    regions: dict[Any, list[ClaimedRegion]] = {image_id: [] for image_id in frames}
    _unique(document["annotations"], "annotation", where)
    for annotation in document["annotations"]:
        name = f"{where}: annotation {_shown(annotation['id'])}"
        image_id = annotation.get("image_id")
        if type(image_id) not in (int, str) or image_id not in frames:
            raise SessionError(f"{name} belongs to no image of the file; export it again")
        label_id = _label(annotation, names, name, reading)
        try:
            mask = _mask(annotation, reading.sizes_hw_px[frames[image_id]], through_centres=bool(through_centres))
        except ValueError as error:
            raise SessionError(f"{name} {error}; correct it there, and export again") from None
        region = Region.of_mask(mask)
        if region is None:
            raise SessionError(f"{name} covers no pixel; remove it there, and export again")
        track_id = annotation.get("track_id")
        regions[image_id].append(
            ClaimedRegion(
                region=region,
                label_id=label_id,
                label=reading.labels[label_id],
                track_id=track_id if type(track_id) is int and track_id >= 1 else None,
            )
        )
    return [
        FrameClaim(frame_id=frame_id, regions=tuple(regions[image_id]))
        for image_id, frame_id in sorted(frames.items(), key=lambda item: item[1])
    ]


def _document(content: bytes, where: str) -> dict[str, Any]:
    if content[:2] == b"PK":
        raise SessionError(f"{where} is a zip archive; unpack it and name the .json file in it (annotations/…)")
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SessionError(f"{where} is cut off or no JSON ({error}); export it again") from None
    if not isinstance(document, dict) or not all(isinstance(document.get(name), list) for name in _LISTS):
        raise SessionError(f"{where} is no COCO file: it has no lists {', '.join(_LISTS)}; choose COCO at the export")
    if not all(isinstance(item, dict) for name in _LISTS for item in document[name]):
        raise SessionError(f"{where} is no COCO file: an item is no object; choose COCO at the export")
    return document


def _frames(images: list[dict[str, Any]], where: str, reading: Reading) -> dict[Any, int]:
    """Image → frame."""
    if not images:
        raise SessionError(f"{where} has no images; export it again")
    _unique(images, "image", where)
    found: dict[Any, int] = {}
    for image in images:
        name = f"{where}: image {_shown(image['id'])}"
        file_name = image.get("file_name")
        match = _NAME.search(file_name) if isinstance(file_name, str) else None
        if match is None:
            raise SessionError(f"{name} is not named as a frame is (00000012.png); keep the names of --frames")
        frame_id = int(match[1])
        size_hw_px = reading.sizes_hw_px.get(frame_id)
        if size_hw_px is None:
            raise SessionError(f"{name}: the session has no frame {frame_id}; name the session that it belongs to")
        if (image.get("height"), image.get("width")) != size_hw_px:
            raise SessionError(
                f"{name} has another size than frame {frame_id} ({size_hw_px[1]} x {size_hw_px[0]} px); use the frames "
                "as they were exported"
            )
        found[image["id"]] = frame_id
    twice = [frame_id for frame_id, count in Counter(found.values()).items() if count > 1]
    if twice:
        raise SessionError(f"{where} has two images of frame {twice[0]}; remove one there, and export again")
    return found


def _unique(items: list[dict[str, Any]], kind: str, where: str) -> None:
    ids = [item.get("id") for item in items]
    if not all(type(number) in (int, str) for number in ids):
        raise SessionError(f"{where}: an entry of kind {kind} has no id; export it again")
    for number, count in Counter(ids).items():
        if count > 1:
            raise SessionError(f"{where}: {count} {kind} entries have one id, {_shown(number)}; export it again")


def _label(annotation: dict[str, Any], names: dict[Any, Any], where: str, reading: Reading) -> int:
    category = annotation.get("category_id")
    if type(category) not in (int, str) or category not in names:
        raise SessionError(f"{where} has no category of the file; export it again")
    name = names[category]
    label_id = reading.label_of(name) if isinstance(name, str) else None
    if label_id is None:
        raise SessionError(
            f"{where}: the name of its category is no label of the session; name it {reading.known_labels} there, and "
            "export again"
        )
    return label_id


def _shown(number: Any) -> str:
    """An id as it may stand in a message: a text could be a name."""
    return str(number) if isinstance(number, int) else "(its id is text)"


def _check_edges(annotations: list[dict[str, Any]], where: str) -> None:
    polygons = [item["segmentation"] for item in annotations if isinstance(item.get("segmentation"), list)]
    traced = sum(looks_traced(item) for item in polygons)
    if traced:
        raise SessionError(
            f"{where}: {traced} of {len(polygons)} outlines look traced through the centres of pixels, as the brush "
            "export of Label Studio does it; give --polygons centres, or --polygons edges where they are not"
        )


def _mask(annotation: dict[str, Any], size_hw_px: tuple[int, int], *, through_centres: bool) -> npt.NDArray[np.bool_]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return run_length_mask(segmentation, size_hw_px)
    if not segmentation:
        raise ValueError("has no outline, only a box")
    return polygons_mask(segmentation, size_hw_px, through_centres=through_centres)
