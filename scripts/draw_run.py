"""Draw the README's picture: the table at the end of a run, as the terminal shows it.

python scripts/draw_run.py runs/inn_stems/version_0
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from datamodules.atomic_file import write_file
from lightning_app.test_report import print_test_report

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "run.svg"


def main() -> None:
    """Read the metrics of a finished run and write `docs/run.svg`."""
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    run = parser.parse_args().run
    console = Console(record=True, width=118)
    print_test_report(json.loads((run / "test_metrics.json").read_text()), run, console)
    picture = console.export_svg(title="make run")
    # The picture must not ask a host for its font.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    write_file(PICTURE, lambda temporary: temporary.write_text(picture))


if __name__ == "__main__":
    main()
