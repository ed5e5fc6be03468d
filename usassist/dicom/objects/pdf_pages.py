"""The pages of the PDF: head, nodules with pictures and sizes, what was not seen, how it was made, limits.

Drawn with reportlab; the same content gives the same bytes. The fonts of its text are embedded (Bitstream Vera, of
reportlab), so that every viewer shows the same page and its text can be searched.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from usassist.dicom.objects import pdf_texts as texts
from usassist.dicom.objects.content import SweepContent
from usassist.dicom.objects.pdf_pictures import SectionPicture, crop_of, whole_of
from usassist.dicom.objects.shown import Shown
from usassist.words import Words

__all__ = ["MOST_PICTURES", "draw_pages"]

MOST_PICTURES = 5
"""Nodules that are shown with pictures: those seen on most frames. The others are in the table."""

_FONT, _BOLD = "Vera", "VeraBd"
_INK, _GREY, _LINE, _WASH, _ALERT = (HexColor(value) for value in (0x14212B, 0x5A6B78, 0xC9D2D9, 0xF2F5F7, 0x8A1C1C))
_MARGIN = 15 * mm
_FRAME_PADDING = 6  # of reportlab's page frame, pt
_WIDTH = A4[0] - 2 * (_MARGIN + _FRAME_PADDING)
_WHOLE, _CROP = (76 * mm, 54 * mm), (52 * mm, 54 * mm)
_BODY = ParagraphStyle("body", fontName=_FONT, fontSize=8, leading=10.5, textColor=_INK)
_SMALL = ParagraphStyle("small", parent=_BODY, fontSize=7, leading=9, textColor=_GREY)
_LABEL = ParagraphStyle("label", parent=_SMALL, spaceBefore=3)
_HEAD = ParagraphStyle("head", parent=_BODY, fontName=_BOLD, fontSize=10.5, leading=13, spaceBefore=9, spaceAfter=4)
_TITLE = ParagraphStyle("title", parent=_HEAD, fontSize=15, leading=19, spaceBefore=0)
_NOTICE = ParagraphStyle("notice", parent=_BODY, fontName=_BOLD, textColor=_ALERT)
_CELL_HEAD = ParagraphStyle("cell head", parent=_BODY, fontName=_BOLD, fontSize=7.5, leading=9.5)
_SIZES = ("longest_diameter", "across", "ap", "transverse")

Image = npt.NDArray[np.uint8]


def draw_pages(
    content: SweepContent,
    shown: Sequence[Shown],
    pictured: Sequence[Shown],
    images: Mapping[int, Image],
    words: Words,
) -> bytes:
    """The PDF of a sweep.

    Parameters
    ----------
    content : of the sweep
    shown : its nodules and runs, each on its best frame and on those of its planes
    pictured : those of them that have pictures
    images : of the frames of `pictured`, by frame index
    words : of the report of a sweep
    """
    _register_fonts()
    pages = _build(content, _story(content, shown, pictured, images, words), words, 0)[1]
    return _build(content, _story(content, shown, pictured, images, words), words, pages)[0]


def _register_fonts() -> None:
    for name in (_FONT, _BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    pdfmetrics.registerFontFamily(_FONT, normal=_FONT, bold=_BOLD, italic=_FONT, boldItalic=_BOLD)


def _build(content: SweepContent, story: list[Flowable], words: Words, pages: int) -> tuple[bytes, int]:
    """The bytes, and the number of pages; `pages` is what stands at their foot."""

    def foot(canvas: Canvas, document: SimpleDocTemplate) -> None:
        canvas.saveState()
        canvas.setFillColor(_GREY)
        canvas.setFont(_FONT, 6.5)
        canvas.drawString(
            _MARGIN + _FRAME_PADDING, 9 * mm, f"{words('title.notice')}  {words('head.session')} {content.session_id}"
        )
        number = f"{words('title.page_of')} {document.page} / {pages}"
        canvas.drawRightString(A4[0] - _MARGIN - _FRAME_PADDING, 9 * mm, number)
        canvas.restoreState()

    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=13 * mm,
        bottomMargin=16 * mm,
        title=words("title.page"),
        author=content.engine.manufacturer,
        subject=words("title.notice"),
        creator=f"usassist {content.engine.software_version}",
        lang=words.code,
        invariant=1,
        pageCompression=1,
    )
    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue(), document.page


def _story(
    content: SweepContent,
    shown: Sequence[Shown],
    pictured: Sequence[Shown],
    images: Mapping[int, Image],
    words: Words,
) -> list[Flowable]:
    best = [item for item in shown if item.is_best]
    story: list[Flowable] = [
        _text(words("title.page"), _TITLE),
        _text(words("title.notice"), _NOTICE),
        _text(words("title.notice_more"), _SMALL),
        Spacer(0, 5),
        _facts([*_study_rows(content), *texts.head_rows(content, words)], columns=2),
        _text(words("overview.heading"), _HEAD),
        *_overview(content, best, shown, words),
    ]
    story.extend(_nodule(content, item, images[item.section.frame_index], words) for item in pictured)
    if len(pictured) < len(best):
        story.append(_text(f"Pictures are of the {len(pictured)} that were outlined on most frames.", _SMALL))
    marks = list(texts.mark_texts(content, words))
    if marks:
        story.append(KeepTogether([_text(words("marks.heading"), _HEAD), *(_text(mark, _BODY) for mark in marks[:40])]))
        if len(marks) > 40:
            story.append(_text(words("overview.and_more", count=len(marks) - 40), _SMALL))
    columns = (words("unseen.item"), words("unseen.frames"), words("unseen.seconds"))
    story.append(
        KeepTogether(
            [
                _text(words("unseen.heading"), _HEAD),
                _text(words("unseen.intro"), _BODY),
                Spacer(0, 3),
                _table([columns, *texts.unseen_rows(content, words)], (0.7, 0.15, 0.15)),
            ]
        )
    )
    story.append(
        KeepTogether(
            [
                _text(words("made.heading"), _HEAD),
                _facts(texts.made_rows(content, best[0] if best else None, words), columns=1),
            ]
        )
    )
    limits = [words(f"limits.{name}") for name in ("first", "second", "third", "fourth", "fifth")]
    story.append(KeepTogether([_text(words("limits.heading"), _HEAD), *(_text(limit, _SMALL) for limit in limits)]))
    return story


def _study_rows(content: SweepContent) -> list[tuple[str, str]]:
    """Who was examined, where the study says so; of a name in several scripts the alphabetic one (PS3.5 6.2.1)."""
    study = content.study
    groups = [group for group in study.patient_name.split("=") if group]
    return [
        (name, value)
        for name, value in (
            ("Patient", groups[0].replace("^", " ").strip() if groups else ""),
            ("Patient ID", study.patient_id),
            ("Born", study.patient_birth_date),
            ("Accession", study.accession_number),
        )
        if value
    ]


def _overview(content: SweepContent, best: Sequence[Shown], shown: Sequence[Shown], words: Words) -> list[Flowable]:
    answered = words(
        "overview.answered", answered=words.number(content.answered_s, 1), length=words.number(content.length_s, 1)
    )
    notes = [_text(f"{answered} {words('overview.see_unseen')}", _BODY)]
    for count, what in (
        (content.not_listed, "not listed one by one"),
        (content.not_shown, "left out, because the pixels of their best plane are lost"),
    ):
        if count:
            notes.append(_text(f"Identities that were outlined and are {what}: {count}.", _BODY))
    if not best:
        return [_text("No nodule is listed. This does not mean that there is none.", _BODY), *notes]
    keys = ("nodule", "side", "seen", "diameter", "ap_t", "volume")
    rows = [tuple(words(f"overview.{key}") for key in keys)]
    for item in best:
        planes = [other for other in shown if other.tracking_uid == item.tracking_uid]
        judged = next((other for other in planes if other.section.plane == "transverse"), item)
        side = words(f"side.{item.section.side}") if item.section.side else words("overview.unknown_side")
        rows.append(
            (
                item.name,
                side,
                words("format.frames", count=item.nodule.frames),
                texts.diameters_text(item, words),
                texts.ap_t_text(judged, words),
                texts.volume_text(item, words),
            )
        )
    shorter = len(content.untracked) - sum(item.is_run for item in best)
    if shorter:
        notes.append(_text(f"Shorter runs that are not in the table: {shorter}.", _BODY))
    if any(item.is_run for item in best):
        notes.insert(0, _text(words("untracked.also"), _SMALL))
    if any(item.frame.spacing_rc_mm is not None for item in best):
        notes.insert(0, _text(words("overview.interval_note"), _SMALL))
    return [_table(rows, (0.085, 0.11, 0.11, 0.395, 0.16, 0.14)), Spacer(0, 3), *notes]


def _nodule(content: SweepContent, item: Shown, image: Image, words: Words) -> Flowable:
    """Whole frame, enlarged part with calipers, and beside them the sizes."""
    found = item.found
    caption = words(
        "nodule.caption",
        frame=item.frame.frame_id,
        time=words.number(item.frame.t_ms / 1e3, 2),
        plane=texts.plane_text(item, words),
        score=texts.score_text(content, item, words),
    )
    facts: list[Flowable] = [_text(words("nodule.sizes"), _CELL_HEAD)]
    for name in _SIZES:
        facts.append(_text(words(f"nodule.{name}"), _LABEL))
        facts.append(_text(texts.size_text(found.sizes.get(name), words, cut=found.cut), _BODY))
    if found.cut:
        facts.append(_text("The border of the scan cuts it here: sizes are lower bounds.", _SMALL))
    elif found.cut is None:
        facts.append(_text("Whether the border of the scan cuts it was not looked for.", _SMALL))
    if item.frame.spacing_rc_mm is None:
        facts.append(_text(words("nodule.not_calibrated"), _SMALL))
    pictures = [
        SectionPicture(image, item, whole_of(image), _WHOLE, words, _FONT, with_calipers=False),
        SectionPicture(image, item, crop_of(image, item), _CROP, words, _FONT, with_calipers=True),
    ]
    row = Table(
        [[*pictures, facts]], colWidths=(_WHOLE[0] + 4, _CROP[0] + 4, _WIDTH - _WHOLE[0] - _CROP[0] - 8), hAlign="LEFT"
    )
    row.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *_PADDING]))
    heading = f"R{item.tracking_id[1:]}" if item.is_run else words("nodule.heading", name=item.name)
    below = [_text(caption, _SMALL)]
    for heading_of, lines in (
        ("descriptors.heading", list(texts.descriptor_texts(item, words))),
        ("category.heading", list(texts.category_texts(item))),
    ):
        if lines:
            below.append(_text(words("format.label", name=words(heading_of), value="; ".join(lines)), _SMALL))
    return KeepTogether([_text(heading, _HEAD), row, *below])


_PADDING = [
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ("TOPPADDING", (0, 0), (-1, -1), 1.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
]


def _text(text: str, style: ParagraphStyle) -> Paragraph:
    """A paragraph; a character that the font does not have is shown as a question mark."""
    known = pdfmetrics.getFont(style.fontName).face.charToGlyph
    return Paragraph(escape("".join(sign if ord(sign) in known else "?" for sign in text)), style)


def _table(rows: Sequence[tuple[str, ...]], shares: Sequence[float]) -> Table:
    cells: list[list[Any]] = [
        [_text(cell, _CELL_HEAD if number == 0 else _BODY) for cell in row] for number, row in enumerate(rows)
    ]
    table = Table(cells, colWidths=[share * _WIDTH for share in shares], repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (-1, 0), _WASH),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
                *_PADDING[1:],
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )
    return table


def _facts(rows: Sequence[tuple[str, ...]], *, columns: int) -> Table:
    """Names and values, in so many pairs of columns."""
    lines = -(-len(rows) // columns)
    cells: list[list[Any]] = []
    for line in range(lines):
        row: list[Any] = []
        for name, value in rows[line::lines]:
            row += [_text(name, _SMALL), _text(value, _BODY)]
        cells.append(row + [""] * (2 * columns - len(row)))
    share = _WIDTH / columns
    widths = [width for _ in range(columns) for width in (0.3 * share, 0.7 * share)]
    table = Table(cells, colWidths=widths, hAlign="LEFT")
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *_PADDING]))
    return table
