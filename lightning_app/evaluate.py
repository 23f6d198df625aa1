"""`lightning validate` and `lightning test`: metrics of a checkpoint."""

from __future__ import annotations

from typing import Any

from base.atomic_file import write_json
from workflows.drug_cli import DrugCLI
from workflows.run_summary import finite_metrics, report_test


class ValidateCLI(DrugCLI):
    """Settings of validation."""

    subcommand_name = "validate"


class TestCLI(DrugCLI):
    """Settings of testing."""

    subcommand_name = "test"


def validate(arguments: list[str]) -> None:
    """Run `lightning validate`.

    Args:
        arguments: The command line after `validate`.

    Raises:
        InputError: If the user's input is at fault.
    """
    cli = ValidateCLI(arguments)
    cli.trainer.validate(cli.model, **_evaluated(cli))
    if cli.trainer.is_global_zero:
        write_json(finite_metrics(cli.trainer, "val/"), cli.folder / "val_metrics.json")


def test(arguments: list[str]) -> None:
    """Run `lightning test`.

    Args:
        arguments: The command line after `test`.

    Raises:
        InputError: If the user's input is at fault.
    """
    cli = TestCLI(arguments)
    cli.trainer.test(cli.model, verbose=False, **_evaluated(cli))
    report_test(cli.trainer, cli.folder)


def _evaluated(cli: DrugCLI) -> dict[str, Any]:
    return {"datamodule": cli.datamodule, "ckpt_path": cli.checkpoint, "weights_only": True}
