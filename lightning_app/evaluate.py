"""`lightning validate` and `lightning test`: compute the metrics of a checkpoint."""

from __future__ import annotations

import json

from workflows.terminal import Terminal


def run_validate(arguments: list[str], terminal: Terminal) -> None:
    """Run `lightning validate`.

    Args:
        arguments: The command line after `validate`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    from workflows.evaluate import evaluate

    result = evaluate("validation", arguments, terminal.command, not terminal.quiet)
    if terminal.json and result.is_first_process:
        print(json.dumps({"run": str(result.folder), **result.metrics}))


def run_test(arguments: list[str], terminal: Terminal) -> None:
    """Run `lightning test`.

    Args:
        arguments: The command line after `test`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    from workflows.evaluate import evaluate
    from workflows.run_summary import print_test_report

    result = evaluate("test", arguments, terminal.command, not terminal.quiet)
    if not result.is_first_process:
        return
    if terminal.json:
        print(json.dumps({"run": str(result.folder), **result.metrics}))
    elif not terminal.quiet:
        print_test_report(result.metrics, result.folder, terminal.command)
