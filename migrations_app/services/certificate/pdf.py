"""The certificate as PDF: one embedded font, no picture, no date of its own. Same layout, same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, TableStyle
from reportlab.platypus import Table as PrintedTable

from migrations_app.services.certificate.fonts import font_for, printable
from migrations_app.services.certificate.layout import Layout, Section, Table

INK, QUIET, LINE, GOOD, CARE = (HexColor(code) for code in ("#14171a", "#5f6670", "#d5d9de", "#1b7443", "#865600"))
MARGIN = 18 * mm
PADDING = 6  # points that reportlab's frame keeps free on each side
WIDTH = A4[0] - 2 * MARGIN - 2 * PADDING
CELL_LIMIT = 600  # characters; a cell taller than a page can't be set
_FRAME = "0123456789 /–<>U+ABCDEF…· Content SHA-256 page of "


def render_pdf(layout: Layout, content_sha256: str) -> bytes:
    """The PDF's bytes."""
    name = f"Causeway-{content_sha256[:12]}"  # one font a certificate: their characters differ
    text = "".join({*_all_text(layout), *_FRAME, *content_sha256})
    pdfmetrics.registerFont(TTFont(name, io.BytesIO(font_for(printable(text)))))
    styles = _styles(name)
    story: list[Any] = [
        Paragraph(_safe(layout.title), styles["place"]),
        Paragraph(_safe(layout.answer), styles["good" if layout.good else "care"]),
        Paragraph(_safe(layout.summary), styles["lead"]),
        Spacer(1, 4 * mm),
    ]
    for section in layout.sections:
        story += _section(section, styles)
    made = io.BytesIO()
    # invariant: no time of making and no random id, or the same content would have another digest each time.
    document = SimpleDocTemplate(
        made,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=20 * mm,
        title=layout.title,
        author="Causeway",
        subject=layout.answer,
        invariant=1,
        lang="en",
    )

    def foot(canvas: Any, frame: Any) -> None:
        canvas.saveState()
        canvas.setFont(name, 7)
        canvas.setFillColor(QUIET)
        canvas.drawString(MARGIN + PADDING, 12 * mm, f"Content SHA-256 {content_sha256}")
        canvas.drawRightString(A4[0] - MARGIN - PADDING, 12 * mm, f"page {canvas.getPageNumber()}")
        canvas.restoreState()

    # Its first font would be one of those that every reader has, and that no file embeds.
    canvas_of = partial(Canvas, initialFontName=name)
    document.build(story, onFirstPage=foot, onLaterPages=foot, canvasmaker=canvas_of)
    return made.getvalue()


def _styles(font: str) -> dict[str, ParagraphStyle]:
    # CJK wrapping breaks within a run of characters; Western words are kept whole by it where a line allows.
    base = ParagraphStyle("base", fontName=font, fontSize=8.5, leading=12, textColor=INK, splitLongWords=1)
    return {
        "base": base,
        "place": ParagraphStyle("place", base, fontSize=9, textColor=QUIET),
        "good": ParagraphStyle("good", base, fontSize=19, leading=25, textColor=GOOD, spaceBefore=2, spaceAfter=3),
        "care": ParagraphStyle("care", base, fontSize=19, leading=25, textColor=CARE, spaceBefore=2, spaceAfter=3),
        "lead": ParagraphStyle("lead", base, fontSize=10, leading=14.5),
        "title": ParagraphStyle("title", base, fontSize=11.5, leading=15, spaceBefore=10, spaceAfter=3),
        "said": ParagraphStyle("said", base, spaceAfter=1.5),
        "point": ParagraphStyle("point", base, leftIndent=9, bulletIndent=0, bulletFontName=font, spaceAfter=1.5),
        "label": ParagraphStyle("label", base, textColor=QUIET),
        "cell": ParagraphStyle("cell", base, fontSize=7.5, leading=10),
        "number": ParagraphStyle("number", base, fontSize=7.5, leading=10, alignment=TA_RIGHT),
        "head": ParagraphStyle("head", base, fontSize=7.5, leading=10, textColor=QUIET),
        "head-number": ParagraphStyle("hn", base, fontSize=7.5, leading=10, textColor=QUIET, alignment=TA_RIGHT),
    }


def _section(section: Section, styles: dict[str, ParagraphStyle]) -> list[Any]:
    head: list[Any] = [Paragraph(_safe(section.title), styles["title"])]
    head += [Paragraph(_safe(line), styles["said"]) for line in section.said]
    body: list[Any] = [Paragraph(f"<bullet>·</bullet>{_safe(line)}", styles["point"]) for line in section.points]
    if section.facts:
        body.append(_facts(section.facts, styles))
    # A heading never stands alone at the foot of a page.
    if section.table is None:
        return [KeepTogether([*head, *body[:1]]), *body[1:]]
    return [KeepTogether([*head, *body, Spacer(1, 1.5 * mm)]), _table(section.table, styles)]


def _facts(facts: Iterable[tuple[str, str]], styles: dict[str, ParagraphStyle]) -> PrintedTable:
    rows = [[Paragraph(_safe(label), styles["label"]), Paragraph(_safe(said), styles["base"])] for label, said in facts]
    table = PrintedTable(rows, colWidths=[0.22 * WIDTH, 0.78 * WIDTH])
    table.setStyle(TableStyle([*_PLAIN, ("TOPPADDING", (0, 0), (-1, -1), 1), ("BOTTOMPADDING", (0, 0), (-1, -1), 1)]))
    return table


def _table(table: Table, styles: dict[str, ParagraphStyle]) -> PrintedTable:
    head = [_cell(text, styles["head-number" if at in table.numbers else "head"]) for at, text in enumerate(table.head)]
    rows = [
        [_cell(text, styles["number" if at in table.numbers else "cell"]) for at, text in enumerate(row)]
        for row in table.rows
    ]
    printed = PrintedTable([head, *rows], colWidths=[share * WIDTH for share in table.widths], repeatRows=1)
    printed.setStyle(TableStyle([*_PLAIN, ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE)]))
    return printed


_PLAIN = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 6),
    ("TOPPADDING", (0, 0), (-1, -1), 2.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
]


def _cell(text: str, style: ParagraphStyle) -> Paragraph:
    shown = text if len(text) <= CELL_LIMIT else text[: CELL_LIMIT - 1] + "…"
    return Paragraph(_safe(shown), style)


def _safe(text: str) -> str:
    """Text for a paragraph, which reads markup: what people wrote is text."""
    return escape(printable(" ".join(text.split())))


def _all_text(layout: Layout) -> str:
    parts = [layout.title, layout.answer, layout.summary]
    for section in layout.sections:
        parts += [section.title, *section.said, *section.points, *(text for fact in section.facts for text in fact)]
        if section.table is not None:
            parts += [*section.table.head, *(text for row in section.table.rows for text in row)]
    return "".join(parts)
