"""The certificate's font, Noto Sans JP, cut down to the characters in use and given outlines that reportlab embeds.

The font comes as OpenType with cubic outlines (CFF); PDF libraries in Python embed quadratic ones (TrueType). fontTools
does both the cutting and the conversion, in about a second. The same text gives the same bytes.
"""

from __future__ import annotations

import io
from functools import lru_cache

import pylopdf_fonts_jp
from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable

UNITS_OFF = 1.0  # of 1000 to the em: how far a converted curve may be from the original
_UNUSED = ["GSUB", "GPOS", "GDEF", "BASE", "VORG", "vhea", "vmtx", "DSIG", "STAT"]  # layout that reportlab ignores


def font_for(text: str) -> bytes:
    """A TrueType font with the characters of `text`."""
    font = TTFont(str(pylopdf_fonts_jp.sans_path()), recalcTimestamp=False, lazy=True)
    options = subset.Options()
    options.layout_features = []
    options.hinting = False
    options.notdef_outline = True
    options.drop_tables += _UNUSED
    cutter = subset.Subsetter(options)
    cutter.populate(text=text)
    cutter.subset(font)
    _convert_outlines(font)
    made = io.BytesIO()
    font.save(made, reorderTables=False)
    return made.getvalue()


def printable(text: str) -> str:
    """The text with what the font has no shape for spelled out (<U+1F600>): nothing may silently be missing."""
    known = _characters()
    return "".join(sign if sign in " \n" or ord(sign) in known else f"<U+{ord(sign):04X}>" for sign in text)


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    font = TTFont(str(pylopdf_fonts_jp.sans_path()), lazy=True)
    return frozenset(font.getBestCmap())


def _convert_outlines(font: TTFont) -> None:
    order = font.getGlyphOrder()
    shapes = font.getGlyphSet()
    glyphs = {}
    for name in order:
        pen = TTGlyphPen(None)
        shapes[name].draw(Cu2QuPen(pen, UNITS_OFF, reverse_direction=True))
        glyphs[name] = pen.glyph()
    font["loca"] = newTable("loca")
    outlines = font["glyf"] = newTable("glyf")
    outlines.glyphOrder, outlines.glyphs = order, glyphs
    del font["CFF "]
    limits = font["maxp"]
    limits.tableVersion = 0x00010000
    limits.maxZones = 1
    for name in ("TwilightPoints", "Storage", "FunctionDefs", "InstructionDefs", "StackElements", "SizeOfInstructions"):
        setattr(limits, f"max{name}", 0)
    for name in ("Points", "Contours", "CompositePoints", "CompositeContours", "ComponentDepth", "ComponentElements"):
        setattr(limits, f"max{name}", 0)  # counted when it is compiled
    outlines.compile(font)
    names = font["post"]
    names.formatType, names.extraNames, names.mapping = 3.0, [], {}
    font.sfntVersion = "\x00\x01\x00\x00"
