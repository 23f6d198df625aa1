"""The LightningModule, which connects network, class state, objective and decision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from modules.checkpoint_file import read_checkpoint
from modules.class_state import ClassState
from modules.compilation import compile_layers
from modules.decision import Decision
from modules.encoders import Encoder
from modules.ensemble import Ensemble
from modules.evaluation.class_groups import ClassGroups
from modules.evaluation.prediction import Prediction
from modules.evaluation.split_metrics import SplitMetrics, named_by_class
from modules.evaluation.split_scores import ScoreCollector, SplitScores
from modules.heads.head import HeadSettings
from modules.losses import ClassificationLoss, MultilabelLoss
from modules.multilabel.decision import LabelDecision
from modules.multilabel.metrics import LabelMetrics
from modules.network import Network
from modules.objective import Objective
from modules.saved_settings.checkpoint_check import CheckpointCheck
from modules.saved_settings.known_classes import trusted_modules
from modules.seeding import seed_device, step_seed
from modules.training.contrast import Contrast
from modules.training.loss_means import LossMeans
from modules.training.mixing import Mixup
from modules.training.optimizer_check import check_optimizer


class DrugClassifier(lightning.LightningModule):
    """Classifier of drugs with long-tailed classes (Su, Li and Wang, 2025, arXiv 2504.04647).

    Layers and buffers whose sizes depend on the data are created by `build`, from the task of the trainer's data module
    or of a checkpoint.

    Attributes:
        task: Description of the data that the model was built for; None before `build`.
        network: Encoder, projection and classification head.
        class_state: Class weights, class temperatures and sub-clusters.
        objective: Losses of a training step.
        decision: Converts logits to class probabilities.
        run_config: Settings to save in checkpoints, as plain types.
        validation_recall: Recall of each class in the last validation, (C,), NaN for a class without samples; None
            before the first validation.
        tested: Scores of the samples of this process in the last test.
        losses: Losses of the steps of the current epoch.
    """

    tested: SplitScores
    class_state: ClassState
    decision: Decision
    metrics: SplitMetrics

    def __init__(
        self,
        encoder: Encoder,
        classification_loss: ClassificationLoss,
        contrast: Contrast | None = None,
        head: HeadSettings = HeadSettings(),  # noqa: B008
        mixing: Mixup | None = None,
        classification_start_epoch: int = 0,
        groups: ClassGroups = ClassGroups(),  # noqa: B008
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        members: int = 1,
        compile: bool | None = None,
    ) -> None:
        """Create the model; `build` creates its layers.

        Args:
            encoder: Computes the embeddings of samples.
            classification_loss: Loss of the logits.
            contrast: Contrast of views, in addition to the classification loss; none if null.
            head: Classification head, from embeddings to logits.
            mixing: Mixes samples for the classification loss; none if null.
            classification_start_epoch: First epoch with the classification loss.
            groups: Which classes are head and tail classes in metrics, decisions and reports.
            optimizer: Optimizer of all parameters.
            lr_scheduler: Learning-rate schedule, stepped once per epoch; none if null.
            members: Number of networks whose mean logits are the model's; fit --folds makes models of several.
            compile: Whether to compile the layers of graph networks, so that a GPU runs fewer and longer operations;
                null compiles them while training on a GPU.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_optimizer(optimizer, lr_scheduler)
        layers = encoder, head, None if contrast is None else contrast.projection_dims
        self.network = Network(*layers) if members == 1 else Ensemble(*layers, members)
        diversity = head.expert_diversity if head.experts > 1 else 0.0
        self.objective = Objective(classification_loss, contrast, mixing, classification_start_epoch, diversity)
        self.groups, self.make_optimizer, self.make_lr_scheduler = groups, optimizer, lr_scheduler
        self._compile_asked, self._compiled = compile, False
        self.task: DrugTask | None = None
        self.run_config: dict[str, Any] | None = None
        self.validation_recall: Tensor | None = None
        self.losses = LossMeans()

    def configure_model(self) -> None:
        """Build the model for the trainer's data, unless it is already built."""
        if self.task is None:
            self.build(self.trainer.datamodule.task)  # type: ignore[attr-defined]

    def build(self, task: DrugTask) -> None:
        """Create the layers and buffers whose sizes depend on the data.

        Args:
            task: Description of the data.

        Raises:
            InputError: If the encoder cannot read the samples, or the losses are not for the kind of labels.
        """
        self.task = task
        counts, contrast = torch.tensor(task.class_counts), self.objective.contrast
        self.network.build(task)
        self.objective.build(counts, self.network.projection_dim)
        temperature = 0.1 if contrast is None else contrast.loss.temperature
        self.class_state = ClassState(counts, self.network.encoder.output_dim, temperature)
        self.objective.prepare_labels(task)
        self.decision, self.metrics = self.new_decision(), self.new_metrics()
        self.scores = ScoreCollector(task.num_classes, task.is_multilabel)

    def new_decision(self) -> Decision:
        """A decision without a choice, on the CPU, for the kind of labels that the model was built for."""
        assert self.task is not None
        counts, loss = torch.tensor(self.task.class_counts), self.objective.classification_loss
        return LabelDecision(counts, loss) if isinstance(loss, MultilabelLoss) else Decision(counts, loss)

    def new_metrics(self) -> SplitMetrics:
        """Metrics without samples, on the CPU, for the kind of labels that the model was built for."""
        assert self.task is not None
        kind = LabelMetrics if self.task.is_multilabel else SplitMetrics
        return kind(torch.tensor(self.task.class_counts), self.groups)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str = "cpu",
        setting: str = "checkpoint_path",
        trust: str | Sequence[str] = (),
    ) -> DrugClassifier:
        """Load a trained model in evaluation mode, without its optimizer and schedule.

        Args:
            checkpoint_path: Checkpoint written by `lightning fit`.
            map_location: Device of the model.
            setting: Name of the setting that gave the path, for error messages.
            trust: Modules with classes of yours that the checkpoint may name, such as `my_encoders`; by default it may
                name those of this project alone.

        Raises:
            InputError: If the file is missing, damaged, or not a valid tailmol checkpoint, or its model has a class
                that is not trusted.
        """
        checkpoint = read_checkpoint(Path(checkpoint_path), setting)
        check = CheckpointCheck(Path(checkpoint_path), setting, trusted_modules(trust))
        model = check.make(checkpoint.settings, "model", cls, unused=("optimizer", "lr_scheduler"))
        model.run_config = checkpoint.settings
        model.build(checkpoint.task)
        model.load_state_dict(checkpoint.state_dict())
        model.decision.opinions.check_width(checkpoint.task)
        return model.to(map_location).eval()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Create the optimizer and the learning-rate schedule, if there is one."""
        optimizer = self.make_optimizer(self.parameters())
        if self.make_lr_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.make_lr_scheduler(optimizer)}}

    def forward(self, batch: Batch) -> Tensor:
        """Compute corrected class scores, fp32 (B, C)."""
        return self.decision.scores(self._scored(batch)[1])

    def on_fit_start(self) -> None:
        """Check that batch normalization has samples enough in every batch, and compile the layers if that pays.

        The losses of an earlier fit are forgotten, and so are the second opinions that a decided checkpoint asks.
        """
        self.decision.opinions.forget()
        self._compile_layers(self.device.type == "cuda")
        self.losses = LossMeans()
        if isinstance(data := self.trainer.datamodule, DrugDataModule):  # type: ignore[attr-defined]
            self.network.check_batches(data.batch_size, data.smallest_batch)

    def on_test_start(self) -> None:
        """Compile the layers if that is asked for."""
        self._compile_layers(False)

    def on_predict_start(self) -> None:
        """Compile the layers if that is asked for."""
        self._compile_layers(False)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Seed each step by its number, so that a resumed run repeats the draws of an uninterrupted one."""
        seed_device(step_seed(self.current_epoch, batch_index, self.global_rank), self.device)

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Compute the losses of a step.

        Returns:
            The `loss` and, for callbacks, `embeddings`, (B, d), and `logits`, (B, C), of the first view; no `logits` in
            epochs without the classification loss.
        """
        seed = step_seed(self.current_epoch, batch_index)
        step = self.objective(batch, self.network, self.class_state, self.current_epoch, seed)
        loss = step.total
        self.losses.add({**step.losses, "loss": loss}, len(batch))
        outputs = {"loss": loss, "embeddings": step.embeddings}
        return outputs if step.logits is None else {**outputs, "logits": step.logits}

    def on_train_epoch_end(self) -> None:
        """Log the mean losses of the epoch."""
        for name, value in self.losses.take().items():
            self.log(f"train/{name}", value, prog_bar=name == "loss")

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collect the scores of a batch, for `on_validation_epoch_end`."""
        _, logits, at_prior = self._scored(batch)
        self.scores.add(batch, logits, at_prior)

    def on_validation_epoch_end(self) -> None:
        """Fit the decision, if the model is training, and log the validation metrics."""
        where = f"Epoch {self.current_epoch}: the scores of validation samples are NaN or infinite"
        scores = self.scores.take_finite(self.device, f"{where}; try a lower model.optimizer.lr.")
        if self.trainer.state.fn == TrainerFn.FITTING:
            everywhere = scores.of_all_processes()
            strength = self.decision.fit(everywhere.logits, everywhere.labels, self.network.classifier)
            if strength is not None:
                self.log("val/correction_strength", strength)
        values, of_class = self.decision.evaluate(scores, self.metrics)
        self.validation_recall = of_class["recall"]
        self._log_metrics("val", values)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Collect the scores of a batch, for `on_test_epoch_end`."""
        _, logits, at_prior = self._scored(batch)
        self.scores.add(batch, logits, at_prior)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics and those of each class."""
        assert self.task is not None
        refusal = "ckpt_path: expected a model with finite scores, got NaN or infinite ones of test samples."
        self.tested = self.scores.take_finite(self.device, refusal)
        values, of_class = self.decision.evaluate(self.tested, self.metrics)
        self._log_metrics("test", values | named_by_class(of_class, self.task.classes))

    def predict_step(self, batch: Batch, batch_index: int) -> Prediction:
        """Predict a batch."""
        return self.decision.predict(batch.sample_index, *self._scored(batch))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the task and the settings, from which the model is built and new data are read."""
        assert self.task is not None
        checkpoint["drug_task"] = self.task.to_dict()
        checkpoint["run_config"] = self.run_config

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the model for the saved task, unless it is already built.

        Raises:
            InputError: If classes, class counts or features differ from those that the model was built for.
        """
        saved = DrugTask.from_dict(checkpoint["drug_task"])
        if self.task is None:
            self.build(saved)
        else:
            self.task.check_same(saved)

    def _compile_layers(self, pays: bool) -> None:
        wanted = pays if self._compile_asked is None else self._compile_asked
        if wanted and not self._compiled:
            self._compiled = compile_layers(self.network.layers_to_compile(), self.device)

    def _scored(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings, (B, d), logits with second opinions, (B, C), and labels at the prior without, (B,)."""
        assert self.task is not None
        embeddings, logits = self.network(batch)
        with_opinion = self.decision.opinions.add_to(logits, batch, self.task)
        return embeddings, with_opinion, self.decision.labels_at_prior(logits)

    def _log_metrics(self, prefix: str, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.log(f"{prefix}/{name}", value, prog_bar=name == "balanced_accuracy")
