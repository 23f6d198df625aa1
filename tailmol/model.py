"""A trained model: predict, embed, evaluate."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy
import torch
from numpy.typing import NDArray

from base.errors import InputError
from base.ranges import check_whole
from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from datamodules.tables.columns import INPUTS, ColumnNames, InputKind, choose_columns
from datamodules.tables.source_table import read_column_names
from modules.checkpoint_file import checkpoint_to_predict_with
from modules.decision_choice import choose_from_file
from modules.decisions.settings import DecisionSettings, ObjectiveName
from modules.drug_classifier import DrugClassifier
from modules.evaluation.evidence_columns import NEIGHBORS
from modules.evaluation.prediction import Prediction
from modules.evaluation.prediction_evidence import PredictionEvidence, load_evidence
from modules.evaluation.split_metrics import named_by_class
from modules.inference import infer, infer_scores
from modules.make_columns import make_columns
from modules.make_evidence import decided_evidence
from tailmol.frames import Frame, Sample, existing_file, is_frame, like_given, list_to_frame, to_polars, write_rows

Samples: TypeAlias = "Sequence[Sample | None] | Frame | str | Path"


def load(path: str | Path, device: torch.device | str = "cpu", trust: str | Sequence[str] = ()) -> Model:
    """Load a trained model.

    Args:
        path: The folder of a run, whose best checkpoint is taken, or that of its refit if there is one; or a
            checkpoint.
        device: The device to compute on.
        trust: Modules with classes of yours that the checkpoint may name, such as `my_encoders`; by default it may name
            those of tailmol alone.

    Raises:
        InputError: If there is no valid tailmol checkpoint, or its model has a class that is not trusted.
    """
    checkpoint = checkpoint_to_predict_with(Path(path))
    classifier = DrugClassifier.load_from_checkpoint(checkpoint, device, setting="path", trust=trust)
    return Model(classifier, load_evidence(checkpoint), checkpoint)


class Model:
    """A trained classifier of drugs, on one device.

    Attributes:
        classifier: The LightningModule, in evaluation mode.
        evidence: What predictions are compared with; None without the file beside the checkpoint.
        checkpoint: The checkpoint of the model; None without one.
        settings: The settings of the run that trained the model.
    """

    def __init__(
        self, classifier: DrugClassifier, evidence: PredictionEvidence | None = None, checkpoint: Path | None = None
    ) -> None:
        """Wrap a trained classifier; `tailmol.load` reads one from a file.

        Args:
            classifier: The trained LightningModule.
            evidence: What predictions are compared with.
            checkpoint: The checkpoint of the model.
        """
        if classifier.task is None or classifier.run_config is None:
            raise InputError("classifier: expected a trained model from a checkpoint, got one without a task.")
        self.classifier, self.evidence, self._task = classifier.eval(), evidence, classifier.task
        self.checkpoint = checkpoint
        self.settings: dict[str, Any] = classifier.run_config

    @property
    def classes(self) -> tuple[str, ...]:
        """The C class labels."""
        return self._task.classes

    @property
    def input(self) -> InputKind:
        """What one sample is: molecule, reaction, pair, drug_protein or array."""
        return self._task.input

    def predict(
        self, samples: Samples, top: int | None = None, neighbors: int = NEIGHBORS, coverage: float | None = None
    ) -> Any:
        """Labels, probabilities and evidence.

        Args:
            samples: A list of SMILES; of pairs, reactions or drugs with proteins, as tuples or joined by `>>`; a polars
                or pandas data frame; or the path of a table or an .npz file.
            top: Writes the labels and probabilities of this many best classes instead of a column for each class.
            neighbors: Number of nearest training samples to name.
            coverage: Share of samples, such as 0.9, whose set of labels must contain the true one, or of the labels of
                samples that may have several; None for no sets.

        Returns:
            One row for each sample, in order: the columns that were given and those of `lightning predict`. A pandas
            data frame if one was given, else a polars one. Where a sample cannot be used, the columns are null and
            `reason` says why.

        Raises:
            InputError: If the samples cannot be read as the model's input, or have a column of the same name; or if
                there are no scores beside the checkpoint, or a number is out of range.
        """
        check_whole("neighbors", neighbors, 0, 1_000)
        columns = make_columns(self.classifier, self.checkpoint, self.evidence, top, neighbors, coverage)
        with self._data(samples) as data:
            columns.check_names(data.prediction_rows.table.columns)
            values = [columns.values(batch, prediction) for batch, prediction in self._infer(data)]
            frames = [columns.frame(chunk, values) for chunk in data.prediction_rows.begun]
        import polars

        return like_given(polars.concat(frames), samples)

    def decide(self, objective: ObjectiveName, **options: Any) -> None:
        """Choose anew what the predictions are best at, without training; the checkpoint stays as it is.

        Args:
            objective: What the decision is best at, such as `balanced_accuracy` or `head_kept`.
            **options: Options of the objective, as of `lightning decide`: `points`, `classes`, `least` and `costs`.

        Raises:
            InputError: If there are no scores beside the checkpoint, an option is invalid, or the objective is not one
                for several labels and a sample may have several.
        """
        if self.checkpoint is None:
            raise InputError("objective: expected a model that was loaded from a checkpoint, got another one.")
        known = [field.name for field in fields(DecisionSettings) if field.name != "objective"]
        if unknown := [name for name in options if name not in known]:
            raise InputError(f"options: expected {', '.join(known[:-1])} or {known[-1]}, got {unknown[0]}.")
        scores = choose_from_file(self.classifier, self.checkpoint, DecisionSettings(objective, **options))
        if self.evidence is not None:
            self.evidence = decided_evidence(self.classifier.decision, scores, self.evidence)

    def embed(self, samples: Samples) -> NDArray[numpy.float32]:
        """Embeddings, from which the classifier decides.

        Args:
            samples: As of `predict`.

        Returns:
            float32 (N, d); NaN in the rows of samples that cannot be used.

        Raises:
            InputError: If the samples cannot be read as the model's input.
        """
        width = self.classifier.network.encoder.output_dim
        with self._data(samples) as data:
            embeddings = numpy.full((data.prediction_rows.table.rows, width), numpy.nan, dtype=numpy.float32)
            for _, prediction in self._infer(data):
                embeddings[prediction.sample_index.cpu().numpy()] = prediction.embeddings.float().cpu().numpy()
        return embeddings

    def evaluate(self, table: Frame | str | Path, label_column: str | Sequence[str] | None = None) -> dict[str, float]:
        """Metrics on a table with labels, all rows of which are used.

        Args:
            table: A polars or pandas data frame, or the path of a table or an .npz file.
            label_column: The column of class labels, or the columns of several labels; those of the training table, or
                else its usual name, if None.

        Returns:
            Metrics by name, such as `balanced_accuracy`, and `recall/<class>` of each class; NaN where a metric does
            not exist.

        Raises:
            InputError: If the table cannot be used.
        """
        refusal = "table: expected samples with finite scores, got NaN or infinite ones."
        with self._data(table, label_column, "test") as data:
            scores = infer_scores(self.classifier, data.test_dataloader()).finite(refusal)
        values, of_class = self.classifier.decision.evaluate(scores, self.classifier.metrics)
        return {name: float(value) for name, value in {**values, **named_by_class(of_class, self.classes)}.items()}

    def _infer(self, data: DrugDataModule) -> Iterator[tuple[Batch, Prediction]]:
        return infer(self.classifier, data.predict_dataloader())

    @contextmanager
    def _data(
        self, samples: Samples, label_column: str | Sequence[str] | None = None, stage: str = "predict"
    ) -> Iterator[DrugDataModule]:
        """The data module of the samples, set up; frames and lists pass through a temporary file."""
        trained = self.settings["data"]
        with tempfile.TemporaryDirectory() as folder:
            path, shown = Path(folder) / "samples.parquet", Path("the data frame")
            if isinstance(samples, str | Path) or is_frame(samples):
                label = label_column or (trained.get("label_column") if stage == "test" else None)
                names = replace(ColumnNames.from_settings(trained), label=label, id=None, split=None)
                if isinstance(samples, str | Path):
                    path = shown = existing_file(samples, self.input)
                else:
                    write_rows(to_polars(samples), path, self.input)
                available = read_column_names(path, self.input)
                # The table may name its columns otherwise than that of training; a given label column must exist.
                lost = [name for name in ("smiles", "label", "sequence") if not names.has(name, available)]
                names = replace(names, **dict.fromkeys(lost if label_column is None else set(lost) - {"label"}))
                self._check_columns(available, names, shown)
            else:
                frame, names = list_to_frame(samples, self.input, trained.get("agents", "apart"))  # type: ignore[arg-type]
                write_rows(frame, path, self.input)
            data = DrugDataModule(
                str(path),
                **names.to_settings(),
                agents=trained.get("agents", "apart"),
                standardise=trained.get("standardise", "parent"),
                missing_labels=trained.get("missing_labels"),
                labels=trained.get("labels", "single"),
                label_separator=trained.get("label_separator"),
                label_thresholds=trained.get("label_thresholds"),
                split="all",
                evaluation_batch_size=trained["evaluation_batch_size"],
            )
            data.trained_task = self._task
            try:
                data.setup(stage)
                yield data
            except InputError as error:
                message = str(error).replace(str(path), str(shown))
                raise InputError(re.sub(r"(--)?data\.label_column", "label_column", message)) from None

    def _check_columns(self, available: Sequence[str], names: ColumnNames, shown: Path) -> None:
        """Check that a table has the columns of a sample, which Python has no option to name."""
        if self.input == "array":
            return
        try:
            choose_columns(available, shown, self.input, names, need_labels=False)
        except InputError as error:
            if not str(error).startswith(("data.smiles_columns:", "data.sequence_column:")):
                raise
            usual, trained = INPUTS[self.input], ColumnNames.from_settings(self.settings["data"])
            wanted = [
                *(trained.smiles or usual.smiles),
                *([trained.sequence or usual.sequence] if usual.sequence else []),
            ]
            column = "a column" if len(wanted) == 1 else "columns"
            raise InputError(
                f"samples: expected {column} {' and '.join(wanted)} in {shown}, got only {', '.join(available)}."
            ) from None
