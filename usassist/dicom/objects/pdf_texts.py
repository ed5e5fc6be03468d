"""What the PDF says of a nodule and of the sweep, as texts in the words of the sweep's report."""

from __future__ import annotations

from collections.abc import Iterator

from usassist.dicom.objects.content import Quantity, Size, SweepContent
from usassist.dicom.objects.shown import Shown, count_frames, describe_algorithm
from usassist.words import Words

__all__ = [
    "ap_t_text",
    "category_texts",
    "descriptor_texts",
    "diameters_text",
    "head_rows",
    "made_rows",
    "mark_texts",
    "plane_text",
    "score_text",
    "size_text",
    "unseen_rows",
    "volume_text",
]

Rows = list[tuple[str, ...]]


def size_text(size: Size | None, words: Words, *, cut: bool | None) -> str:
    """``14.2 mm (11.5 to 16.9)``, ``≥ 14.2 mm``, ``210 px``; a dash where it is not known."""
    if size is None:
        return words("format.none")
    if size.mm is None:
        return words("format.px_bound" if cut else "format.px", value=words.number(size.px))
    if cut:
        return words("format.mm_bound", value=words.number(size.mm, 1))
    if size.u95_mm is None:
        return words("format.none")
    return words("format.mm_interval", value=words.number(size.mm, 1), range=_interval(size.mm, size.u95_mm, words))


def _interval(value: float, u95: float, words: Words) -> str:
    return words.range(max(0.0, value - u95), value + u95, 1)


def diameters_text(shown: Shown, words: Words) -> str:
    """Longest diameter, and the extent across it where the nodule is whole."""
    sizes, cut = shown.found.sizes, shown.found.cut
    first = size_text(sizes.get("longest_diameter"), words, cut=cut)
    across = None if cut else sizes.get("across")
    return first if across is None else f"{first} {words('format.times', value=size_text(across, words, cut=False))}"


def ap_t_text(shown: Shown, words: Words) -> str:
    """The ratio with its interval and verdict, where it may be judged; else why not."""
    found = shown.found
    if found.ap_t is None or found.cut:
        return words("ap_t.unknown")
    if shown.section.plane is None:
        return words("ap_t.plane_not_marked")
    if shown.section.plane != "transverse":
        return words("ap_t.not_transverse")
    if found.ap_t_low is None or found.ap_t_high is None:
        return words("ap_t.no_scale")
    verdict = "taller" if found.ap_t_low > 1.0 else "wider" if found.ap_t_high < 1.0 else "uncertain"
    interval = words.range(found.ap_t_low, found.ap_t_high, 2)
    return words(f"ap_t.{verdict}", value=words.number(found.ap_t, 2), range=interval)


def volume_text(shown: Shown, words: Words) -> str:
    """The volume of the ellipsoid with the diameters that it comes from; a dash where it is not known."""
    dimensions = shown.nodule.dimensions
    if dimensions is None:
        return words("format.none")
    volume: Quantity = dimensions.volume_ml
    low, high = max(0.0, volume.value - volume.u95), volume.value + volume.u95
    return words("format.ml_interval", value=words.number(volume.value, 2), range=words.range(low, high, 2))


def score_text(content: SweepContent, shown: Shown, words: Words) -> str:
    """In percent where it is calibrated."""
    if content.engine.score_calibration_id:
        return words("format.percent", value=words.number(min(99.0, 100.0 * shown.found.score)))
    return words.number(shown.found.score, 2)


def plane_text(shown: Shown, words: Words) -> str:
    """Plane and side as marked."""
    plane = words(f"plane.{shown.section.plane or 'unmarked'}")
    side = words(f"side.{shown.section.side}") if shown.section.side else ""
    text = words.join([part for part in (plane, side) if part])
    return text[:1].upper() + text[1:]


def descriptor_texts(shown: Shown, words: Words) -> Iterator[str]:
    """``Echogenicity: hypoechoic (estimated, …)``, of those that somebody or something has determined."""
    for item in shown.nodule.descriptors:
        if item["basis"] == "needs_clinician" or not item["words"]:
            continue
        name = words(f"descriptor.{item['name']}") if words.known(f"descriptor.{item['name']}") else item["name"]
        values = []
        for word in item["words"]:
            key = f"word.{item['name']}.{word}"
            values.append(words(key) if words.known(key) else word)
        basis = words(f"descriptors.{item['basis']}")
        if item["basis"] == "estimated" and item.get("probability") is not None:
            percent = words("format.percent", value=words.number(100.0 * item["probability"]))
            agreement = item.get("agreement") or words("descriptors.agreement_unknown")
            basis = words.join([basis, percent, agreement])
        yield f"{words('format.label', name=name, value=words.join(values))} ({basis})"


def category_texts(shown: Shown) -> Iterator[str]:
    """``ACR TI-RADS 2017: TR4, moderately suspicious``, of those that confirmed descriptors lead to."""
    for item in shown.nodule.categories:
        if item["level"] is not None:
            yield f"{item['name']} {item['edition']}: {item['level']}, {item['meaning']}"


def head_rows(content: SweepContent, words: Words) -> Rows:
    """Session, when, how long, engine, and on how much of it there was a scale."""
    scaled = sum(frame.spacing_rc_mm is not None for frame in content.frames)
    length = words.number(content.length_s, 1)
    scale = words("head.scale_all") if scaled == len(content.frames) else words("head.scale_none")
    if 0 < scaled < len(content.frames):
        scale = words("format.frames", count=f"{scaled} / {len(content.frames)}")
    return [
        (words("head.session"), content.session_id),
        (words("head.recorded"), words.date(content.begun_utc)),
        (words("head.length"), words("head.length_value", seconds=length, frames=count_frames(content))),
        (words("head.engine"), content.engine.engine_id or words("format.none")),
        (words("head.scale"), scale),
    ]


def unseen_rows(content: SweepContent, words: Words) -> Rows:
    """Item, frames, seconds: what was answered and what was not."""
    none = words("format.none")
    rows: Rows = [
        (words("unseen.sweep"), str(count_frames(content)), words.number(content.length_s, 1)),
        (words("unseen.answered"), str(content.answered_frames), words.number(content.answered_s, 1)),
        (words("unseen.finding"), str(content.finding_frames), none),
        (words("unseen.no_finding"), str(content.no_finding_frames), none),
    ]
    for heading, part, items in (
        ("unseen.no_result", "cause", content.unanswered),
        ("unseen.not_live", "signal", content.not_live),
    ):
        for item in items:
            key = f"{part}.{item.name}"
            what = words(key) if words.known(key) else item.name
            label = words("format.label", name=words(heading), value=what)
            rows.append((label, str(item.frames), words.number(item.seconds, 1)))
    unscaled = sum(frame.spacing_rc_mm is None for frame in content.frames)
    for key, count in (
        ("unseen.without_scale", unscaled),
        ("unseen.frames_lost", content.frames_lost),
        ("unseen.results_lost", content.results_lost),
        ("unseen.pixels_lost", content.pixels_lost),
    ):
        if count:
            rows.append((words(key), str(count), none))
    return rows


def made_rows(content: SweepContent, shown: Shown | None, words: Words) -> Rows:
    """With what the answers were made."""
    engine, none = content.engine, words("format.none")
    scores = engine.score_calibration_id or words("made.scores_none")
    weights = f"SHA-256 {engine.weights_sha256[:16]}" if engine.weights_sha256 else none
    rows: Rows = [
        (words("made.engine"), engine.engine_id or none),
        (words("made.back_end"), words.join([part for part in (engine.backend, engine.precision) if part]) or none),
        (words("made.weights"), weights),
        (words("made.point"), engine.point or none),
        (words("made.scores"), scores),
        (words("made.versions"), f"usassist {engine.software_version}"),
    ]
    if shown is not None:
        rows.insert(5, (words("made.scale"), describe_algorithm(content, shown).parameters["scale"]))
    return rows


def mark_texts(content: SweepContent, words: Words) -> Iterator[str]:
    """``answer is wrong, frame 12, N1``."""
    for mark in content.marks:
        key = f"marks.{mark['kind']}"
        parts = [words(key) if words.known(key) else mark["kind"], words("format.frame", number=mark["frame_id"])]
        track_id = mark.get("track_id")
        if track_id is not None and track_id >= 0:
            parts.append(f"N{track_id}")
        parts.extend(words(f"{part}.{mark[part]}") for part in ("plane", "side") if mark.get(part))
        yield words.join(parts)
