import numpy
import polars
from hypothesis import given
from hypothesis import strategies as st

from datamodules.chemistry.protein_sequences import ProteinSequences

SEQUENCES = st.lists(st.text("ACDXZ", max_size=6), min_size=1, max_size=8)


@given(SEQUENCES, st.data())
def test_gathered_letters_are_those_of_the_rows(sequences: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=10))
    codes, lengths, proteins = ProteinSequences(polars.Series(sequences)).gather(numpy.array(rows))
    ends = numpy.cumsum(lengths)
    texts = [
        "".join(chr(ord("A") + code) for code in codes[end - n : end]) for n, end in zip(lengths, ends, strict=True)
    ]
    assert [texts[protein] for protein in proteins] == [sequences[row] for row in rows]
    assert len(set(texts)) == len(texts)


def test_hashes_are_equal_where_sequences_are() -> None:
    hashes = ProteinSequences(polars.Series(["MKV", "AC", "MKV", None, "ACA"])).hashes
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 4
