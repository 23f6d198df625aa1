"""Drawings of samples, compact enough for thousands on one page.

A drawing is a line of text. RDKit writes each bond as a separate element with all of its style; here all bonds of one
color share a path with integer coordinates, which takes a tenth of the space, compressed or not. The page unpacks the
drawings and adds the style.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datamodules.tables.drug_table import DrugTable

WIDTH, HEIGHT = 400, 290
"""Size of a drawing in pixels."""
THUMBNAIL = 32
"""Largest side of an image in pixels."""
_LONGEST_SMILES = 1_000

_PATH = re.compile(r"<path [^>]*?d='([^']*)' style='([^']*)'")
_TEXT = re.compile(r"<text x='([\d.-]+)' y='([\d.-]+)'[^>]*?font-size:(\d+)px[^>]*?fill:(#\w+)' >([^<]*)<")
_DECIMALS = re.compile(r"(?<=\d)\.\d+")
_COLOR = re.compile(r"(fill|stroke):(#\w+)")


def draw_samples(table: DrugTable, rows: NDArray[Any]) -> list[list[str]]:
    """Draw the molecules or the image in each of some rows; other arrays have no drawing.

    Args:
        table: The table of samples.
        rows: int (n,), rows of the table.

    Returns:
        n lists of drawings from `draw_molecule` or `draw_image`.
    """
    if table.arrays is not None:
        if len(table.arrays.shape) < 2:
            return [[] for _ in rows]
        return [[draw_image(array)] for array in table.arrays.dense(rows)]
    known: dict[str, str] = {}
    columns = [series.gather(rows).fill_null("").to_list() for series in table.smiles]
    return [[_drawn(text, known) for text in texts] for texts in zip(*columns, strict=True)]


def _drawn(text: str, known: dict[str, str]) -> str:
    if text not in known:
        known[text] = draw_molecule(text)
    return known[text]


def draw_molecule(smiles: str) -> str:
    """Draw a molecule as the content of an SVG of `WIDTH` x `HEIGHT`; empty if RDKit cannot read or draw it.

    Args:
        smiles: SMILES of at most 1,000 characters; a larger molecule would not be recognizable and is not drawn.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem.Draw import rdMolDraw2D

    if len(smiles) > _LONGEST_SMILES:
        return ""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles) if smiles else None
        if molecule is None:
            return ""
        # True: write atom labels as text rather than as outlines.
        canvas = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT, -1, -1, True)
        options: Any = canvas.drawOptions()
        options.clearBackground = False
        options.bondLineWidth = 2
        options.maxFontSize = 24
        try:
            rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
        except (ValueError, RuntimeError):
            # RDKit cannot compute coordinates for some molecules that it can read.
            return ""
        canvas.FinishDrawing()
        return compact_svg(canvas.GetDrawingText())


def standalone_svg(drawing: str) -> str:
    """A drawing of a molecule as a complete SVG; empty for other drawings.

    Args:
        drawing: A drawing from `draw_samples`.
    """
    if not drawing or drawing.startswith("I "):
        return ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" fill="none" stroke-width="2" '
        f'stroke-linecap="round" stroke-linejoin="round" font-family="Arial, sans-serif">{drawing}</svg>'
    )


def compact_svg(svg: str) -> str:
    """Join the paths of each color and drop the style, which the page adds.

    Args:
        svg: SVG from RDKit, with labels as text.
    """
    paths: dict[tuple[str, str], list[str]] = {}
    svg = _DECIMALS.sub("", svg)
    for data, style in _PATH.findall(svg):
        colors = dict(_COLOR.findall(style))
        kind = "fill" if "fill" in colors else "stroke"
        # Paths of three points with a miter limit only round a corner, which the style of the page does for every path.
        if kind in colors and not (kind == "stroke" and "miterlimit" in style):
            paths.setdefault((kind, _short(colors[kind])), []).append(data)
    parts = []
    for (kind, color), data in paths.items():
        joined = "".join(data).replace(" L ", "L").replace("M ", "M").replace(",", " ").replace(" Z", "Z")
        parts.append(f"<path d='{joined}' {kind}='{color}'/>")
    for x, y, size, color, letter in _TEXT.findall(svg):
        parts.append(f"<text x='{x}' y='{y}' fill='{_short(color)}' font-size='{size}'>{letter}</text>")
    return "".join(parts)


@lru_cache
def _short(color: str) -> str:
    """The color as `#rgb` if that is exact, else unchanged."""
    doubled = all(color[place] == color[place + 1] for place in (1, 3, 5))
    return f"#{color[1]}{color[3]}{color[5]}" if doubled and len(color) == 7 else color


def draw_image(array: NDArray[Any]) -> str:
    """A gray or RGB image as `I width height channels base64`, reduced to at most `THUMBNAIL` pixels per side.

    Args:
        array: (height, width) or (channels, height, width); unless there are 3 channels, their mean is drawn.
    """
    image = array[None] if array.ndim == 2 else array
    image = image if len(image) == 3 else image.mean(axis=0, keepdims=True)
    steps = [max(1, -(-size // THUMBNAIL)) for size in image.shape[1:]]
    image = image[:, :: steps[0], :: steps[1]]
    low, high = float(image.min()), float(image.max())
    gray = ((image - low) / max(high - low, 1e-12) * 255).astype(numpy.uint8)
    channels, height, width = gray.shape
    return f"I {width} {height} {channels} {base64.b64encode(gray.transpose(1, 2, 0).tobytes()).decode()}"


def pack(lines: Sequence[str]) -> str:
    """Lines of text compressed with gzip and encoded in base64, which the page unpacks."""
    return base64.b64encode(gzip.compress("\n".join(lines).encode(), compresslevel=6, mtime=0)).decode()
