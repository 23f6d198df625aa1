from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    recall_score,
    roc_auc_score,
)
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.functional import one_hot

from modules.evaluation.tail_metrics import TailMetrics, head_middle_tail

RANKING_KEYS = {"auroc", "average_precision", "calibration_error"}
SCALAR_KEYS = RANKING_KEYS | {
    "accuracy",
    "balanced_accuracy",
    "balanced_f1",
    "macro_f1",
    "head_accuracy",
    "middle_accuracy",
    "tail_accuracy",
}


def random_split(samples: int, num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities (samples, num_classes), coarse enough to have ties, and labels that favor class 0."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(samples, generator=generator) ** 2 * num_classes).long()
    logits = torch.randn(samples, num_classes, generator=generator) + 2 * one_hot(labels, num_classes)
    return (logits.softmax(dim=1) * 64).round() / 64, labels


def scores(probabilities: Tensor, labels: Tensor, class_counts: Tensor | None = None) -> dict[str, Tensor]:
    num_classes = probabilities.shape[1]
    metric = TailMetrics(torch.arange(num_classes, 0, -1) if class_counts is None else class_counts)
    metric.update(probabilities, labels)
    result: dict[str, Tensor] = metric.compute()
    return result


def certain(predicted: list[int], num_classes: int) -> Tensor:
    return one_hot(torch.tensor(predicted), num_classes).float()


class TestHeadMiddleTail:
    @pytest.mark.parametrize(
        ("num_classes", "sizes"),
        [
            (2, (1, 0, 1)),
            (3, (1, 1, 1)),
            (5, (2, 2, 1)),
            (10, (3, 4, 3)),
            (86, (26, 34, 26)),
            (100, (30, 40, 30)),
        ],
    )
    def test_sizes_of_the_default_fractions(self, num_classes: int, sizes: tuple[int, int, int]) -> None:
        groups = head_middle_tail(torch.arange(num_classes))
        assert (len(groups["head"]), len(groups["middle"]), len(groups["tail"])) == sizes

    def test_ranks_by_count_with_ties_by_label_and_absent_classes_last(self) -> None:
        groups = head_middle_tail(torch.tensor([0, 7, 90, 7, 0, 8]))
        assert groups == {"head": [2, 5], "middle": [1, 3], "tail": [0, 4]}

    @pytest.mark.parametrize(("counts", "head", "tail"), [([3, 9], 1, 0), ([9, 3], 0, 1), ([5, 5], 0, 1)])
    def test_the_smaller_of_two_classes_is_the_tail(self, counts: list[int], head: int, tail: int) -> None:
        assert head_middle_tail(torch.tensor(counts)) == {"head": [head], "middle": [], "tail": [tail]}

    def test_fractions_are_decimal_and_not_binary(self) -> None:
        assert 0.28 * 25 > 7
        assert len(head_middle_tail(torch.ones(25), head_fraction=0.28)["head"]) == 7

    def test_fractions_can_leave_no_middle_or_no_tail(self) -> None:
        counts = torch.arange(10)
        assert head_middle_tail(counts, 0.7, 0.3)["middle"] == []
        assert head_middle_tail(counts, 0.5, 0)["tail"] == []

    @given(
        counts=st.lists(st.integers(0, 50), min_size=2, max_size=40),
        fractions=st.sampled_from([(0.3, 0.3), (0.1, 0.5), (0.7, 0.3), (0.95, 0.01)]),
    )
    @settings(deadline=None, max_examples=50)
    def test_every_class_is_in_one_group_and_none_outranks_the_group_before(
        self, counts: list[int], fractions: tuple[float, float]
    ) -> None:
        groups = head_middle_tail(torch.tensor(counts), *fractions)
        ranked = groups["head"] + groups["middle"] + groups["tail"]
        assert sorted(ranked) == list(range(len(counts)))
        assert [counts[label] for label in ranked] == sorted(counts, reverse=True)

    @pytest.mark.parametrize("counts", [torch.tensor([5]), torch.ones(2, 2), torch.tensor(3)])
    def test_refuses_other_shapes(self, counts: Tensor) -> None:
        with pytest.raises(ValueError, match=r"class_counts: expected shape \(C,\) with C >= 2, got"):
            head_middle_tail(counts)

    def test_refuses_negative_counts(self) -> None:
        with pytest.raises(ValueError, match=r"class_counts: expected numbers of 0 or more, got \[3, -1\]"):
            head_middle_tail(torch.tensor([3, -1]))

    @pytest.mark.parametrize("head_fraction", [0.0, 1.0, -0.1, float("nan")])
    def test_refuses_a_head_of_nothing_or_all(self, head_fraction: float) -> None:
        with pytest.raises(ValueError, match="head_fraction: expected a number between 0 and 1, got"):
            head_middle_tail(torch.ones(4), head_fraction=head_fraction)

    @pytest.mark.parametrize("tail_fraction", [-0.1, 0.71, float("nan")])
    def test_refuses_a_tail_that_overlaps_the_head(self, tail_fraction: float) -> None:
        with pytest.raises(ValueError, match="tail_fraction: expected a number from 0 to 1 - head_fraction, got"):
            head_middle_tail(torch.ones(4), tail_fraction=tail_fraction)


class TestValues:
    @pytest.mark.parametrize(
        ("labels", "predicted"), [([0, 1, 1], [0, 0, 1]), ([0, 0, 1, 1], [0, 0, 0, 1])], ids=["1:2", "2:2"]
    )
    def test_balanced_f1_does_not_depend_on_the_class_sizes(self, labels: list[int], predicted: list[int]) -> None:
        found = scores(certain(predicted, 2), torch.tensor(labels))["balanced_f1"]
        assert found.item() == pytest.approx((4 / 5 + 2 / 3) / 2)

    def test_a_small_split_by_hand(self) -> None:
        labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
        found = scores(certain([0, 0, 0, 1, 1, 0, 3], 4), labels, torch.tensor([40, 20, 10, 10]))
        torch.testing.assert_close(found["recall"], torch.tensor([0.75, 0.5, 0.0, torch.nan]), equal_nan=True)
        assert found["accuracy"].item() == pytest.approx(4 / 7)
        assert found["balanced_accuracy"].item() == pytest.approx(1.25 / 3)
        # F1 by class: 2*3/(4+4), 2*1/(2+2), 0; class 3 has no support.
        assert found["macro_f1"].item() == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
        # Rows divided by support: 2*.75/(1+1.25), 2*.5/(1+.75), 0.
        assert found["balanced_f1"].item() == pytest.approx((1.5 / 2.25 + 1 / 1.75) / 3)
        # Head 0 and 1 (ceil of 1.2), middle 2, tail 3.
        assert found["head_accuracy"].item() == pytest.approx(0.625)
        assert found["middle_accuracy"].item() == 0
        assert found["tail_accuracy"].isnan()
        assert found["calibration_error"].item() == pytest.approx(3 / 7)

    def test_calibration_error_is_a_mean_over_bins_of_equal_width(self) -> None:
        confidence = torch.tensor([0.95, 0.95, 0.95, 0.95, 0.70, 0.70, 0.55])
        probabilities = torch.stack([confidence, 1 - confidence], dim=1)
        found = scores(probabilities, torch.tensor([0, 0, 0, 1, 0, 1, 0]))["calibration_error"]
        expected = (4 * abs(0.75 - 0.95) + 2 * abs(0.5 - 0.70) + abs(1 - 0.55)) / 7
        assert found.item() == pytest.approx(expected, abs=1e-6)

    def test_calibration_error_stays_exact_when_a_bin_is_full(self) -> None:
        confidence = 0.94 + 0.06 * torch.rand(1_000_000, generator=torch.Generator().manual_seed(0))
        probabilities = torch.stack([confidence, 1 - confidence], dim=1)
        labels = (torch.arange(1_000_000) % 20 == 0).long()
        # 14/15 < 0.94, so that all fall in one bin.
        expected = abs(confidence.double().mean().item() - 0.95)
        assert scores(probabilities, labels)["calibration_error"].item() == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize(("num_classes", "seed"), [(2, 0), (5, 1), (30, 2)])
    def test_agrees_with_scikit_learn(self, num_classes: int, seed: int) -> None:
        probabilities, labels = random_split(400, num_classes, seed)
        found = scores(probabilities, labels)
        truth, predicted = labels.numpy(), probabilities.argmax(dim=1).numpy()
        columns, present = probabilities.numpy().T, np.unique(labels.numpy())
        expected = {
            "accuracy": accuracy_score(truth, predicted),
            "balanced_accuracy": balanced_accuracy_score(truth, predicted),
            "macro_f1": f1_score(truth, predicted, average="macro", labels=present),
            "auroc": np.mean([roc_auc_score(truth == label, columns[label]) for label in present]),
            "average_precision": np.mean(
                [average_precision_score(truth == label, columns[label]) for label in present]
            ),
        }
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value, abs=1e-5), name
        np.testing.assert_allclose(
            found["recall"][present], recall_score(truth, predicted, average=None, labels=present), atol=1e-6
        )

    def test_balanced_f1_is_macro_f1_of_a_resampled_split(self) -> None:
        probabilities, labels = random_split(120, 3)
        support = labels.bincount()
        copies = (support.prod() // support)[labels]
        resampled = scores(probabilities.repeat_interleave(copies, 0), labels.repeat_interleave(copies))
        torch.testing.assert_close(scores(probabilities, labels)["balanced_f1"], resampled["macro_f1"])

    def test_absent_classes_do_not_lower_a_perfect_score(self) -> None:
        found = scores(certain([0, 2, 4, 4], 5), torch.tensor([0, 2, 4, 4]))
        for name in (
            "accuracy",
            "balanced_accuracy",
            "balanced_f1",
            "macro_f1",
            "auroc",
            "average_precision",
        ):
            assert found[name].item() == pytest.approx(1), name

    def test_a_single_class_has_no_ranking(self) -> None:
        found = scores(certain([1, 1, 0], 3), torch.tensor([1, 1, 1]))
        assert found["auroc"].isnan()
        assert found["average_precision"].isnan()
        assert found["balanced_accuracy"].item() == pytest.approx(2 / 3)

    def test_two_hundred_classes(self) -> None:
        found = scores(*random_split(1000, 200))
        assert all(0 <= found[name] <= 1 for name in SCALAR_KEYS)
        assert found["recall"].shape == (200,)


class TestProperties:
    @given(seed=st.integers(0, 1000), samples=st.integers(1, 60), num_classes=st.integers(2, 7))
    @settings(deadline=None, max_examples=25)
    def test_order_and_batches_do_not_matter(self, seed: int, samples: int, num_classes: int) -> None:
        probabilities, labels = random_split(samples, num_classes, seed)
        order = torch.randperm(samples, generator=torch.Generator().manual_seed(seed))
        metric = TailMetrics(torch.arange(num_classes, 0, -1))
        for batch in torch.split(order, 7):
            metric.update(probabilities[batch], labels[batch])
        torch.testing.assert_close(metric.compute(), scores(probabilities, labels), equal_nan=True)

    @given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40))
    @settings(deadline=None, max_examples=25)
    def test_a_perfect_prediction_scores_one_wherever_it_is_defined(self, labels: list[int]) -> None:
        found = scores(certain(labels, 6), torch.tensor(labels))
        assert found.pop("calibration_error").item() == 0
        undefined = {name for name, value in found.items() if value.ndim == 0 and value.isnan()}
        groups = {"head_accuracy": {0, 1}, "middle_accuracy": {2, 3}, "tail_accuracy": {4, 5}}
        expected = {name for name, group in groups.items() if not group & set(labels)}
        assert undefined == expected | ({"auroc", "average_precision"} if len(set(labels)) == 1 else set())
        for name, value in found.items():
            defined = value[~value.isnan()]
            torch.testing.assert_close(defined, torch.ones_like(defined), msg=name)

    @given(seed=st.integers(0, 1000))
    @settings(deadline=None, max_examples=25)
    def test_permuting_the_classes_permutes_the_recalls_only(self, seed: int) -> None:
        probabilities, labels = random_split(50, 5, seed)
        # Unique maxima: a tie goes to the lower label.
        probabilities = (probabilities + torch.arange(5) * 1e-4).clamp(max=1)
        names = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
        counts = torch.tensor([50, 40, 30, 20, 10])
        renamed_probabilities, renamed_counts = torch.empty_like(probabilities), torch.empty_like(counts)
        renamed_probabilities[:, names], renamed_counts[names] = probabilities, counts
        found = scores(probabilities, labels, counts)
        renamed = scores(renamed_probabilities, names[labels], renamed_counts)
        renamed["recall"] = renamed["recall"][names]
        torch.testing.assert_close(renamed, found, equal_nan=True)


class TestUpdates:
    def test_keys_with_and_without_ranking(self) -> None:
        probabilities, labels = random_split(20, 3)
        metric = TailMetrics(torch.tensor([3, 2, 1]), ranking=False)
        metric.update(probabilities, labels)
        assert set(metric.metric_state) == {"confusion"}
        assert metric.compute().keys() == (SCALAR_KEYS - RANKING_KEYS) | {"recall"}
        assert scores(probabilities, labels).keys() == SCALAR_KEYS | {"recall"}

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_any_floating_type(self, dtype: torch.dtype) -> None:
        # 64ths are exact in each of the types.
        probabilities, labels = random_split(100, 4)
        found = scores(probabilities.to(dtype), labels)
        torch.testing.assert_close(found, scores(probabilities, labels))
        assert all(value.dtype == torch.float32 for value in found.values())

    def test_an_empty_batch_is_ignored(self) -> None:
        probabilities, labels = random_split(30, 3)
        metric = TailMetrics(torch.tensor([3, 2, 1]))
        for start, end in ((0, 0), (0, 30), (30, 30)):
            metric.update(probabilities[start:end], labels[start:end])
        torch.testing.assert_close(metric.compute(), scores(probabilities, labels))

    @pytest.mark.parametrize("ranking", [True, False])
    def test_no_samples_are_an_error(self, ranking: bool) -> None:
        metric = TailMetrics(torch.tensor([3, 2, 1]), ranking=ranking)
        metric.update(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
        with pytest.raises(ValueError, match="TailMetrics: expected at least one sample"):
            metric.compute()

    def test_reset_removes_the_samples_and_keeps_the_groups(self) -> None:
        metric = TailMetrics(torch.tensor([10, 20, 30]))
        metric.update(*random_split(30, 3, seed=1))
        metric.reset()
        assert metric.groups == {"head": [2], "middle": [1], "tail": [0]}
        probabilities, labels = random_split(30, 3)
        metric.update(probabilities, labels)
        torch.testing.assert_close(metric.compute(), scores(probabilities, labels, torch.tensor([10, 20, 30])))

    def test_forward_gives_the_batch_and_keeps_the_split(self) -> None:
        probabilities, labels = random_split(40, 3)
        metric = TailMetrics(torch.tensor([3, 2, 1]))
        metric.update(probabilities[:25], labels[:25])
        torch.testing.assert_close(metric(probabilities[25:], labels[25:]), scores(probabilities[25:], labels[25:]))
        torch.testing.assert_close(metric.compute(), scores(probabilities, labels))

    def test_updates_work_after_a_reset_in_inference_mode(self) -> None:
        probabilities, labels = random_split(20, 3)
        metric = TailMetrics(torch.tensor([3, 2, 1]))
        with torch.inference_mode():
            metric.update(probabilities, labels)
            metric.reset()
        metric.update(probabilities, labels)
        torch.testing.assert_close(metric.compute(), scores(probabilities, labels))

    def test_keeps_no_autograd_graph(self) -> None:
        logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
        metric = TailMetrics(torch.tensor([3, 2, 1]))
        metric.update(logits.softmax(dim=1), torch.arange(8) % 3)
        assert not any(value.requires_grad for value in metric.compute().values())

    def test_adds_nothing_to_a_checkpoint(self) -> None:
        assert TailMetrics(torch.tensor([3, 2, 1])).state_dict() == {}

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_on_a_gpu(self) -> None:
        probabilities, labels = random_split(100, 4)
        metric = TailMetrics(torch.tensor([4, 3, 2, 1])).cuda()
        metric.update(probabilities.cuda(), labels.cuda())
        found = metric.compute()
        assert all(value.is_cuda for value in found.values())
        torch.testing.assert_close(found, scores(probabilities, labels), check_device=False)


class TestRefusals:
    @pytest.mark.parametrize(
        ("probabilities", "labels", "message"),
        [
            (torch.ones(4), torch.zeros(4).long(), r"probabilities: expected shape \(B, 3\), got \(4,\)"),
            (
                torch.ones(4, 2),
                torch.zeros(4).long(),
                r"probabilities: expected shape \(B, 3\), got \(4, 2\)",
            ),
            (torch.ones(4, 3), torch.zeros(3).long(), r"labels: expected shape \(4,\), got \(3,\)"),
            (torch.ones(4, 3).long(), torch.zeros(4).long(), "probabilities: expected a floating-point tensor, got"),
            (torch.ones(4, 3), torch.zeros(4), "labels: expected an integer tensor, got torch.float32"),
            (torch.ones(4, 3), torch.zeros(4).bool(), "labels: expected an integer tensor, got torch.bool"),
            (torch.eye(3) * -4, torch.arange(3), r"probabilities: expected values in \[0, 1\], got -4 to -?0"),
            (
                torch.eye(3) * torch.nan,
                torch.arange(3),
                r"probabilities: expected values in \[0, 1\], got nan to nan",
            ),
            (torch.eye(3), torch.tensor([0, 1, 3]), r"labels: expected values in 0\.\.2, got 0 to 3"),
            (torch.eye(3), torch.tensor([0, 1, -1]), r"labels: expected values in 0\.\.2, got -1 to 1"),
        ],
    )
    def test_refuses_invalid_inputs(self, probabilities: Tensor, labels: Tensor, message: str) -> None:
        metric = TailMetrics(torch.tensor([3, 2, 1]))
        with pytest.raises(ValueError, match=message):
            metric.update(probabilities, labels)
        assert metric.confusion.sum() == 0

    def test_a_rounding_error_above_one_is_a_probability(self) -> None:
        found = scores(torch.eye(3) * (1 + 1e-6), torch.arange(3))
        assert found["calibration_error"].item() == 0

    def test_passes_the_fractions_on(self) -> None:
        assert TailMetrics(torch.arange(10), 0.5, 0.2).groups["tail"] == [1, 0]
        with pytest.raises(ValueError, match="head_fraction: expected a number between 0 and 1, got 2"):
            TailMetrics(torch.arange(10), head_fraction=2)


def run_process(rank: int, folder: str) -> None:
    """One of two processes, with several ways to share a split, and then without samples."""
    torch.set_num_threads(1)
    probabilities, labels = random_split(40, 5)
    whole = scores(probabilities, labels)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/rendezvous", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    # An empty share comes as an empty batch, or as no update at all.
    for first_share, skip_empty in ((29, False), (40, False), (40, True), (0, True)):
        metric = TailMetrics(torch.arange(5, 0, -1))
        own = torch.arange(40)[:first_share] if rank == 0 else torch.arange(40)[first_share:]
        if len(own) or not skip_empty:
            for batch in torch.split(own, 9):
                metric.update(probabilities[batch], labels[batch])
        torch.testing.assert_close(metric.compute(), whole)
    with pytest.raises(ValueError, match="TailMetrics: expected at least one sample"):
        TailMetrics(torch.arange(5, 0, -1)).compute()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_unequal_shares_agree_with_one(tmp_path: Path) -> None:
    spawn(run_process, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
