"""Starting from the encoder of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import lightning
import pytest
import torch
from torch import Tensor

from base.errors import InputError
from modules.drug_classifier import DrugClassifier
from tests.lightning_app.command import TINY, in_this_process
from tests.workflows.hostile_settings import FILES, MODEL, make_run, write_hostile_pickle, write_trap
from workflows.fit import fit
from workflows.fit_cli import FitCLI
from workflows.terminal import quiet_lightning

SHORT = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--config=method/cross_entropy.yaml"]
SHORT += ["--trainer.max_epochs=1", "--data.batch_size=8"]


def table(folder: Path, classes: tuple[str, ...]) -> Path:
    """Drugs of one functional group for each class, in chains of many lengths."""
    ends = {"ether": "OC", "amine": "N", "acid": "C(=O)O"}
    lines = [f"{'C' * size}{ends[name]},{name}" for name in classes for size in range(1, 13)]
    path = folder / f"{'_'.join(classes)}.csv"
    path.write_text("\n".join(["smiles,label", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on ethers and amines."""
    folder = tmp_path_factory.mktemp("trained")
    source = table(folder, ("ether", "amine"))
    return fit([*SHORT, f"--data.source={source}", f"--run.root={folder}"], show_progress=False).folder


class FirstWeights(lightning.Callback):
    """Keeps the weights before the first step."""

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy the weights."""
        network = cast(DrugClassifier, pl_module).network
        self.found = {name: value.clone() for name, value in network.state_dict().items()}


def start(folder: Path, *options: str) -> dict[str, Tensor]:
    """The network's weights before the first step of a run on amines and acids."""
    source = table(folder, ("amine", "acid"))
    cli = FitCLI([*SHORT, f"--data.source={source}", f"--run.root={folder}", *options], show_progress=False)
    first = FirstWeights()
    trainer: Any = cli.trainer
    trainer.callbacks.append(first)
    trainer.fit(cli.model, datamodule=cli.datamodule)
    return first.found


@pytest.mark.parametrize("fold", [(), ("--data.folds=2", "--data.fold=1")], ids=["one model", "member of an ensemble"])
def test_the_first_step_has_the_encoder_of_the_trained_model_and_a_head_of_its_own(
    trained: Path, tmp_path: Path, fold: tuple[str, ...]
) -> None:
    known = DrugClassifier.load_from_checkpoint(trained / "checkpoints/best.ckpt")
    found = start(tmp_path, f"--init_from={trained}", *fold)
    fresh = start(tmp_path, *fold)
    encoder = {f"encoder.{name}": value for name, value in known.network.encoder.state_dict().items()}
    assert {name for name in found if name.startswith("encoder.")} == set(encoder)
    assert all(torch.equal(found[name], value) for name, value in encoder.items())
    assert not all(torch.equal(fresh[name], value) for name, value in encoder.items())
    head = [name for name in found if name.startswith("classifier.") and name.endswith("weight")]
    old = known.network.state_dict()
    assert head
    assert not any(torch.equal(found[name], old[name]) for name in head)


def test_a_resumed_run_keeps_its_own_weights(trained: Path, tmp_path: Path) -> None:
    source = table(tmp_path, ("amine", "acid"))
    options = [*SHORT, f"--data.source={source}", f"--run.root={tmp_path}"]
    gone = tmp_path / "gone.ckpt"
    gone.write_bytes((trained / "checkpoints/best.ckpt").read_bytes())
    run = fit([*options, f"--init_from={gone}"], show_progress=False).folder
    gone.unlink()
    last = run / "checkpoints/last.ckpt"
    before = torch.load(last, weights_only=True)["state_dict"]
    cli = FitCLI(["--ckpt_path", str(last), "--trainer.max_epochs=2"], show_progress=False)
    first = FirstWeights()
    trainer: Any = cli.trainer
    trainer.callbacks.append(first)
    with quiet_lightning():
        trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=str(last), weights_only=True)
    encoder = [name for name in before if name.startswith("network.encoder.")]
    assert all(torch.equal(first.found[name.removeprefix("network.")], before[name]) for name in encoder)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            "--model.encoder.dropout=0.31",
            r"model\.encoder\.init_args\.dropout to be \S+, as in .*, got 0\.31",
        ),
        ("--config=encoder/gin.yaml", r"model\.encoder\.class_path to be 'modules\.encoders\.FingerprintMLP'"),
        ("--data.fingerprint_size=128", r"data\.fingerprint_size to be 256, as in .*best\.ckpt, got 128"),
    ],
)
def test_the_setting_that_differs_is_named(trained: Path, tmp_path: Path, option: str, sentence: str) -> None:
    words = [word for word in SHORT if word != "--config=encoder/fingerprint.yaml" or "gin" not in option]
    source = table(tmp_path, ("amine", "acid"))
    given = [f"--data.source={source}", f"--run.root={tmp_path}/runs", f"--init_from={trained}", option]
    with pytest.raises(InputError, match=f"^init_from: expected {sentence}"):
        fit([*words, *given], show_progress=False)
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^init_from: expected a checkpoint file, but there is no file .*none"):
        fit([*SHORT, f"--run.root={tmp_path}", f"--init_from={tmp_path / 'none'}"], show_progress=False)


@pytest.mark.parametrize("change", MODEL)
def test_a_hostile_checkpoint_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    site = tmp_path / "site"
    write_trap(site)
    monkeypatch.syspath_prepend(site)
    make_run(trained, tmp_path / "run", site, MODEL[change])
    given = (f"--run.root={tmp_path}", f"--data.source={table(tmp_path, ('amine', 'acid'))}")
    assert in_this_process(monkeypatch, "fit", *SHORT, *given, f"--init_from={tmp_path / 'run'}") == 2
    assert "lightning: error: init_from: " in capsys.readouterr().err
    assert {path.name for path in site.iterdir()} == {"trap.py", *FILES}


def test_a_checkpoint_is_read_without_pickle(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    make_run(trained, tmp_path / "run", tmp_path / "site")
    write_hostile_pickle(tmp_path / "run", tmp_path / "called")
    assert in_this_process(monkeypatch, "fit", *SHORT, f"--init_from={tmp_path / 'run'}") == 2
    assert not (tmp_path / "called").exists()
