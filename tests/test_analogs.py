"""Among the three most similar bundled drugs of an approved drug are the analogs that a chemist would name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy
import polars
import pytest
import torch

from datamodules.drug_datamodule import DrugDataModule
from modules.neighbors.training_samples import TrainingSamples
from modules.sample_fingerprints import bits_of_rows

TABLE = Path(__file__).parents[1] / "datamodules/datasets/inn_stems/inn_stems.csv"
Nearest = Callable[[str], list[str]]

ANALOGS = {
    "acyclovir": {"ganciclovir", "valganciclovir", "valacyclovir"},
    "albuterol": {"pirbuterol", "bitolterol"},
    "alendronic acid": {"pamidronic acid", "ibandronic acid"},
    "amlodipine": {"felodipine", "clevidipine", "nisoldipine"},
    "amoxicillin": {"ampicillin"},
    "atorvastatin": {"fluvastatin", "cerivastatin", "pitavastatin"},
    "cetirizine": {"hydroxyzine"},
    "ciprofloxacin": {"norfloxacin"},
    "diazepam": {"temazepam", "halazepam", "prazepam"},
    "enalapril": {"enalaprilat", "quinapril", "ramipril"},
    "fluconazole": {"voriconazole", "efinaconazole"},
    "ibuprofen": {"flurbiprofen", "ketoprofen"},
    "imatinib": {"nilotinib", "ponatinib"},
    "lidocaine": {"etidocaine", "tocainide", "ropivacaine"},
    "loratadine": {"desloratadine", "azatadine"},
    "losartan": {"irbesartan", "valsartan"},
    "metoprolol": {"esmolol", "betaxolol", "atenolol"},
    "morphine": {"hydromorphone", "oxymorphone"},
    "simvastatin": {"lovastatin", "pravastatin"},
    "sumatriptan": {"almotriptan", "zolmitriptan", "rizatriptan"},
}
"""Of 20 drugs, analogs by mechanism and scaffold."""


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Nearest:
    """The names of the drugs nearest to a named one, without itself."""
    data = DrugDataModule(split="all", cache_folder=str(tmp_path_factory.mktemp("cache")))
    data.setup("test")
    table = data.table.table
    names: list[str] = table.frame["name"].to_list()
    bits = bits_of_rows(data, numpy.arange(len(names)), data.task)
    # The fingerprints choose, whatever the embeddings.
    embeddings = numpy.ones((len(names), 2), dtype=numpy.float16)
    samples = TrainingSamples(names, table.texts(numpy.arange(len(names))), data.records.codes, embeddings, bits, True)

    def find(name: str) -> list[str]:
        places, near = samples.nearest(torch.ones(1, 2), bits[[names.index(name)]], 4)
        assert near.tanimoto[0, 0] == 1
        found = [names[place] for place in places[0]]
        found.remove(name)
        return found

    return find


def test_there_are_twenty_drugs() -> None:
    known = set(polars.read_csv(TABLE)["name"])
    assert len(ANALOGS) == 20
    assert {name for pair in ANALOGS.items() for name in (pair[0], *pair[1])} <= known


@pytest.mark.parametrize("name", ANALOGS)
def test_known_analogs_are_among_the_nearest_three(nearest: Nearest, name: str) -> None:
    found = nearest(name)
    assert len(found) == 3
    assert ANALOGS[name] <= set(found)
