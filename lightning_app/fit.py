"""`lightning fit`: train a model, test its best checkpoint and write a report."""

from __future__ import annotations

import json

from workflows.stop_signals import StopSignals
from workflows.terminal import Terminal, process_number


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `fit`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    with StopSignals(terminal.command, arguments, process_number() == 0) as signals:
        # Imported late, since imports of seconds must not delay the end.
        from workflows.settings.column_check import check_columns

        if not {"-h", "--help", "--print_config"} & set(arguments):
            check_columns(arguments)

        from workflows.fit import fit
        from workflows.run_summary import print_test_report

        result = fit(arguments, command=terminal.command, show_progress=not terminal.quiet, signals=signals)
    if not result.is_first_process:
        return
    if terminal.json:
        print(json.dumps({"run": str(result.folder), **result.metrics}))
    elif not terminal.quiet:
        print_test_report(result.metrics, result.folder, terminal.command, out_of_fold=result.out_of_fold)
