"""Drawings that another part made: let through as drawings and nothing else, whatever their text says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from markupsafe import Markup

TAGS = {
    "svg", "g", "title", "desc", "rect", "line", "polyline", "polygon", "path", "circle", "ellipse", "text", "tspan",
}  # fmt: skip
ATTRIBUTES = {
    "viewBox", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy", "d",
    "points", "transform", "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin",
    "stroke-opacity", "fill-opacity", "opacity", "text-anchor", "dominant-baseline", "font-size", "font-weight",
    "font-family", "role", "aria-label", "aria-labelledby", "aria-describedby", "id",
}  # fmt: skip
MOST_CHARACTERS = 200_000
_NAMESPACE = "{http://www.w3.org/2000/svg}"
_LOADS = re.compile(r"url\s*\(|:\s*//|javascript|data\s*:", re.IGNORECASE)
_WORDS = {"aria-label"}


def drawing(text: object) -> Markup | None:
    """`text` as inline SVG; None for what is not one, loads anything, or has an element or attribute beyond
    shapes and words."""
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS or "<!" in text or "<?" in text:
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    for element in root.iter():
        element.tag = str(element.tag).removeprefix(_NAMESPACE)
        if element.tag not in TAGS or not all(_harmless(*pair) for pair in element.attrib.items()):
            return None
    if root.tag != "svg":
        return None
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # rebuilt from shapes and escaped words


def _harmless(name: str, value: str) -> bool:
    return name in ATTRIBUTES and (name in _WORDS or not _LOADS.search(value))
