"""The layers of settings under a command line."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.datasets.dataset_catalog import CATALOG
from datamodules.tables.columns import INPUTS
from workflows.settings.config_files import CONFIGS, find_config
from workflows.settings.layers import read_command, settings_files
from workflows.settings.merge import Layer

METHODS = sorted((CONFIGS / "method").glob("*.yaml"))
RECOMMENDED = sorted((CONFIGS / "recommended").glob("*.yaml"))


def names(*arguments: str) -> list[str]:
    """Names of the layers of files."""
    return [layer.name for layer in read_command(arguments).files]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["data/inn_stems.yaml", "recommended/molecule.yaml", "method/default.yaml"]),
        (["--data.source", "my.csv"], ["recommended/molecule.yaml", "method/default.yaml"]),
        (["--data.source=hiv"], ["data/hiv.yaml", "recommended/hiv.yaml", "method/balanced_opinions.yaml"]),
        (["-c", "data/hiv.yaml"], ["data/hiv.yaml", "recommended/hiv.yaml", "method/balanced_opinions.yaml"]),
        (
            ["--config=data/hiv.yaml", "--data.source", "my.csv"],
            ["data/hiv.yaml", "recommended/hiv.yaml", "method/balanced_opinions.yaml"],
        ),
        (
            ["--config", "data/uspto_50k_product.yaml", "--data.source", "uspto_50k"],
            ["data/uspto_50k_product.yaml", "recommended/uspto_50k_product.yaml", "method/balanced_opinions.yaml"],
        ),
        (
            ["--config", "method/ldam.yaml", "--config", "encoder/gin.yaml", "--data.source", "digits"],
            ["data/digits.yaml", "recommended/digits.yaml", "encoder/gin.yaml", "method/ldam.yaml"],
        ),
        (
            ["--data.source=drugbank"],
            ["data/drugbank.yaml", "recommended/pair.yaml", "method/balanced_forest.yaml"],
        ),
        (
            ["--data.source", "my.csv", "--data.input=reaction"],
            ["recommended/reaction.yaml", "method/balanced_opinions.yaml"],
        ),
        (["--data.source", "my.NPZ"], ["recommended/array.yaml", "method/default.yaml"]),
        (["--data.source", "my.csv", "--data.input=5"], ["method/default.yaml"]),
        (
            ["--config", "debug.yaml"],
            ["data/inn_stems.yaml", "recommended/molecule.yaml", "method/default.yaml", "debug.yaml"],
        ),
        (
            ["--config", "base.yaml"],
            ["data/inn_stems.yaml", "recommended/molecule.yaml", "method/default.yaml"],
        ),
    ],
)
def test_a_command_has_its_layers(arguments: list[str], expected: list[str]) -> None:
    assert names(*arguments) == ["base.yaml", *expected]


def test_a_file_of_the_user_may_name_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("data: {source: hiv, batch_size: 8}\n")
    command = read_command(["--config", "mine.yaml"])
    assert [layer.name for layer in command.files][1:] == [
        *("data/hiv.yaml", "recommended/hiv.yaml", "method/balanced_opinions.yaml", "mine.yaml"),
    ]
    assert command.composition.settings["data"]["batch_size"] == 8
    assert settings_files(["--config", "mine.yaml"])[-1] == Path("mine.yaml")


sources = st.lists(st.sampled_from(sorted(CATALOG)), max_size=1).map(
    lambda found: [("--data.source", name) for name in found]
)


def some(folder: str) -> st.SearchStrategy[list[tuple[str, str]]]:
    """None or one of the shipped files of a folder."""
    files = sorted(str(path.relative_to(CONFIGS)) for path in (CONFIGS / folder).glob("*.yaml"))
    return st.lists(st.sampled_from(files), max_size=1).map(lambda found: [("--config", name) for name in found])


@given(
    data=sources | some("data"),
    shipped=st.tuples(some("encoder"), some("method")),
    options=st.lists(
        st.sampled_from(
            [
                ("--model.encoder", "GIN"),
                ("--model.encoder.init_args.dropout", "0.25"),
                ("--model.optimizer", "torch.optim.SGD"),
                ("--model.optimizer.init_args.lr", "1e-3"),
                ("--trainer.max_epochs", "3"),
                ("--config", "debug.yaml"),
            ]
        ),
        unique=True,
    ),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_a_command_line_does_not_matter(
    data: list[tuple[str, str]],
    shipped: tuple[list[tuple[str, str]], ...],
    options: list[tuple[str, str]],
    random: object,
) -> None:
    words = [*data, *itertools.chain(*shipped), *options]
    expected = read_command(list(itertools.chain(*words)))
    random.shuffle(words)  # type: ignore[attr-defined]
    found = read_command(list(itertools.chain(*words)))
    assert found.composition == expected.composition
    assert found.under_options == expected.under_options
    assert sorted(found.words) == sorted(expected.words)


def test_another_encoder_does_not_take_over_the_dropout() -> None:
    encoder = read_command(["--data.source", "hiv", "--config", "encoder/gin.yaml"]).composition.settings["model"]
    assert encoder["encoder"] == {"class_path": "modules.encoders.GIN"}
    option = read_command(["--data.source", "hiv", "--model.encoder=GIN"])
    assert option.composition.settings["model"]["encoder"] == {"class_path": "GIN"}
    assert "encoder" not in option.under_options["model"]
    assert option.words == ["--data.source=hiv", "--model.encoder=GIN"]


def test_the_papers_method_keeps_its_encoder_and_contrast_on_every_data_set() -> None:
    words = [["--config", "method/paper.yaml"], ["--config", "data/hiv.yaml"]]
    one, other = (read_command([*first, *second]) for first, second in (words, words[::-1]))
    assert one == other
    model = one.composition.settings["model"]
    assert model["encoder"]["class_path"] == "modules.encoders.GCN"
    assert model["contrast"]["loss"]["class_path"] == "modules.losses.SubclusterContrastiveLoss"
    assert model["optimizer"] == {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001, "weight_decay": 0.0003}}
    assert one.composition.origin(("trainer", "max_epochs")) == "method/paper.yaml"


def test_files_of_the_user_lie_over_each_other_as_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        Path(f"{number}.yaml").write_text(f"trainer: {{max_epochs: {number}}}\n")
    for order in ((1, 2), (2, 1)):
        command = [word for number in order for word in ("--config", f"{number}.yaml")]
        found = read_command([*command, "--config", "method/paper.yaml"])
        assert found.composition.settings["trainer"]["max_epochs"] == order[-1]


def test_a_checkpoint_takes_the_place_of_what_is_shipped() -> None:
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5}}
    checkpoint = Layer("checkpoint", {"model": {"optimizer": optimizer, "dropout": 0.1}, "data": {"source": "hiv"}})
    options = ["--model.optimizer.init_args.lr=0.7", "--model.dropout=0.2", "--config=encoder/gin.yaml"]
    free = read_command(options, checkpoint)
    assert [layer.name for layer in free.files] == ["checkpoint", "encoder/gin.yaml"]
    assert free.composition.settings["model"]["optimizer"]["init_args"] == {"lr": 0.7}
    fixed = read_command(options, checkpoint, ("model.optimizer",))
    assert fixed.composition.settings["model"]["optimizer"] == optimizer
    assert fixed.composition.settings["model"]["dropout"] == 0.2
    assert fixed.words == ["--model.dropout=0.2"]
    assert fixed.ignored == ("model.optimizer",)
    assert read_command(["--model.optimizer=SGD"], checkpoint, ("model.dropout",)).ignored == ()


@pytest.mark.parametrize("path", RECOMMENDED, ids=lambda path: str(path.stem))
def test_what_is_recommended_belongs_to_a_data_set_or_a_kind_of_samples_and_names_a_method(path: Path) -> None:
    assert (CONFIGS / "data" / path.name).is_file() or path.stem in {*INPUTS, "multilabel"}
    settings = yaml.safe_load(path.read_text())
    assert find_config(f"method/{settings.get('method', 'default')}.yaml") in METHODS
    assert set(settings) <= {"method", "model", "data"}


def test_files_of_data_sets_say_nothing_of_the_model() -> None:
    for path in (CONFIGS / "data").glob("*.yaml"):
        assert set(yaml.safe_load(path.read_text())) <= {"data", "trainer"}, path


def test_files_of_methods_are_short() -> None:
    lines = [
        len([line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")])
        for path in METHODS
    ]
    assert sum(lines) / len(lines) <= 12


def test_several_labels_a_row_have_methods_of_their_own() -> None:
    several = ["--data.labels=multi", "--data.source=table.csv"]
    names = [layer.name for layer in read_command(several).files]
    assert names == ["base.yaml", "recommended/multilabel.yaml", "multilabel/default.yaml"]
    contrast = [layer.name for layer in read_command([*several, "--config", "multilabel/contrast.yaml"]).files]
    assert contrast == ["base.yaml", "recommended/multilabel.yaml", "multilabel/contrast.yaml"]
    pairs = [layer.name for layer in read_command([*several, "--data.input=pair"]).files]
    assert pairs == ["base.yaml", "recommended/pair.yaml", "multilabel/default.yaml"]
    expected = r"^config: expected a file of multilabel/ with data.labels multi, got method/paper.yaml\.$"
    with pytest.raises(InputError, match=expected):
        read_command([*several, "--config", "method/paper.yaml"])
    expected = r"^config: expected a file of method/ with data.labels single, got multilabel/contrast.yaml\.$"
    with pytest.raises(InputError, match=expected):
        read_command(["--config", "multilabel/contrast.yaml"])
