from __future__ import annotations

import base64
import gzip
from xml.etree import ElementTree

import numpy
import pytest

from reports.samples.drawings import HEIGHT, THUMBNAIL, WIDTH, draw_image, draw_molecule, pack


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<svg>{drawing}</svg>")


def test_a_drawing_has_bonds_and_letters_within_the_frame() -> None:
    svg = parsed(draw_molecule("C[C@H](N)C(=O)Nc1ccc(Cl)cc1"))
    letters = [one.text for one in svg.iter("text")]
    assert {"N", "O"} <= set(letters)
    assert any(one.get("fill") for one in svg.iter("path")) or svg.findall("path")
    assert all(0 <= int(one.get("x", "")) <= WIDTH and 0 <= int(one.get("y", "")) <= HEIGHT for one in svg.iter("text"))
    assert "\n" not in draw_molecule("CCO")


def test_a_wedge_is_filled() -> None:
    svg = parsed(draw_molecule("C[C@@H](O)[C@H](N)C(=O)O"))
    assert any(one.get("fill") for one in svg.iter("path"))


def test_a_drawing_is_a_tenth_of_rdkits() -> None:
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    smiles = "CN1CCN(CC1)Cc1ccc(cc1)C(=O)Nc1ccc(C)c(c1)Nc1nccc(n1)-c1cccnc1"
    canvas = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    canvas.DrawMolecule(Chem.MolFromSmiles(smiles))
    canvas.FinishDrawing()
    assert len(draw_molecule(smiles)) < 0.15 * len(canvas.GetDrawingText())


@pytest.mark.parametrize("smiles", ["", "C1CC(", "C" * 1_001])
def test_what_cannot_be_drawn_is_empty(smiles: str) -> None:
    assert draw_molecule(smiles) == ""


def test_a_grey_image_keeps_its_pixels() -> None:
    kind, width, height, channels, data = draw_image(numpy.array([[0.0, 2.0, 4.0], [4.0, 2.0, 0.0]])).split(" ")
    assert (kind, width, height, channels) == ("I", "3", "2", "1")
    assert list(base64.b64decode(data)) == [0, 127, 255, 255, 127, 0]


def test_a_large_color_image_is_thinned() -> None:
    _, width, height, channels, data = draw_image(numpy.random.default_rng(0).random((3, 100, 64))).split(" ")
    assert (int(width) <= THUMBNAIL, int(height) <= THUMBNAIL, channels) == (True, True, "3")
    assert len(base64.b64decode(data)) == int(width) * int(height) * 3


def test_packed_lines_come_back() -> None:
    lines = ["<path/>", "", "I 1 1 1 AA=="]
    assert gzip.decompress(base64.b64decode(pack(lines))).decode().split("\n") == lines
