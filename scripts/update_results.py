"""Copy the tables of `results/` into docs/results.md.

A table replaces the lines between `<!-- results/NAME/FILE.md -->` and `<!-- end -->`. Blocks whose file does not exist
are left unchanged.

    python -m scripts.update_results
"""

from __future__ import annotations

import re
from pathlib import Path

from base.atomic_file import write_file

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(<!-- (results/[\w/.]+\.md) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(page: str, root: Path) -> str:
    """Return the page with its blocks replaced by the files that exist.

    Args:
        page: Markdown with blocks.
        root: Folder to which the paths of the blocks are relative.
    """

    def table(block: re.Match[str]) -> str:
        path = root / block[2]
        return f"{block[1]}\n{path.read_text().strip()}\n\n{block[3]}" if path.is_file() else block[0]

    return _BLOCK.sub(table, page)


def main() -> None:
    """Rewrite the page."""
    page = ROOT / "docs/results.md"
    text = fill(page.read_text(), ROOT)
    write_file(page, lambda path: path.write_text(text))


if __name__ == "__main__":
    main()
