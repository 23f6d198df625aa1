"""Says that the decision of a run was chosen anew after its test."""

from __future__ import annotations

from reports.run_files import RunFiles


def decided_text(run: RunFiles) -> str:
    """That the decision has changed since the test, as the start of a sentence; empty if it has not.

    Args:
        run: The files of the run.
    """
    if run.tested_objective is None:
        return ""
    now = "other options of it" if run.objective == run.tested_objective else run.objective
    return f"The decision was changed by lightning decide after the test, from {run.tested_objective} to {now}"


def report_warnings(run: RunFiles) -> list[str]:
    """What the report says of a decision that was chosen anew after the test; empty if it was not.

    Args:
        run: The files of the run.
    """
    if not (changed := decided_text(run)):
        return []
    return [
        f"{changed}. This page tests the decision that the checkpoint has now, but not how often its labels are right "
        "on each level of applicability."
    ]
