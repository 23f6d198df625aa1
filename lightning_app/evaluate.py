"""`lightning validate` and `lightning test`: metrics of a checkpoint."""

from __future__ import annotations

import json

from workflows.terminal import Terminal


def validate(arguments: list[str], terminal: Terminal) -> None:
    """Run `lightning validate`.

    Args:
        arguments: The command line after `validate`.
        terminal: How the command was called, and how much it says.

    Raises:
        InputError: If the user's input is at fault.
    """
    from workflows.evaluate import evaluate

    result = evaluate("validation", arguments, terminal.command, not terminal.quiet)
    if terminal.json and result.is_first_process:
        print(json.dumps({"run": str(result.folder), **result.metrics}))


def test(arguments: list[str], terminal: Terminal) -> None:
    """Run `lightning test`.

    Args:
        arguments: The command line after `test`.
        terminal: How the command was called, and how much it says.

    Raises:
        InputError: If the user's input is at fault.
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
