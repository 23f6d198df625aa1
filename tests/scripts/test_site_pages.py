"""The hook that adds pages to the documentation site, and the site."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.exceptions import PluginError

from scripts.site_pages import OUTSIDE_DOCS, ROOT, api_page, packages, rewrite_links

FETCHED = re.compile(r"""<(?:script|img|iframe)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*href=["']?(?:https?:)?//""")


def test_every_package_has_a_page_with_its_modules(tmp_path: Path) -> None:
    for path in ("room/__init__.py", "room/door.py", "room/box/__init__.py", "room/box/lid.py", "attic/loose.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert packages(tmp_path) == {"room": ["room.door"], "room.box": ["room.box.lid"]}
    assert api_page("room", ["room.door"]) == "# room\n\n::: room\n\n::: room.door\n"


def test_the_packages_of_the_project_are_found_and_its_tests_are_not() -> None:
    found = packages(ROOT)
    assert {"base", "callbacks", "datamodules", "experiments", "lightning_app", "modules", "reports"} <= set(found)
    assert "modules.losses.classification.focal" in found["modules.losses.classification"]
    assert not any(name.startswith(("tests", "benchmarks", "scripts")) for name in found)


@pytest.mark.parametrize(
    ("source", "uri", "text", "expected"),
    [
        ("README.md", "index.md", "[Data](docs/data.md#splits)", "[Data](data.md#splits)"),
        ("docs/data.md", "data.md", "[more](../CONTRIBUTING.md)", "[more](contributing.md)"),
        ("docs/data.md", "data.md", "[rows](../datamodules/datasets/inn_stems/README.md)", "[rows](inn_stems.md)"),
        (
            "docs/data.md",
            "data.md",
            "[here](#arrays) [there](https://a.org/b)",
            "[here](#arrays) [there](https://a.org/b)",
        ),
    ],
)
def test_links_between_files_become_links_between_pages(source: str, uri: str, text: str, expected: str) -> None:
    assert rewrite_links(text, source, uri) == expected


def test_a_link_to_a_file_outside_the_site_is_refused() -> None:
    with pytest.raises(PluginError, match=r"README\.md: the link to Makefile leads out of the site"):
        rewrite_links("[make](Makefile)", "README.md", "index.md")


def test_files_outside_docs_exist() -> None:
    assert [path for path in OUTSIDE_DOCS if not (ROOT / path).is_file()] == []


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_fetches_nothing_from_another_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    assert [path.name for path in pages if FETCHED.search(path.read_text())] == []
    styles = [path.read_text() for path in tmp_path.rglob("*.css")]
    assert not any(re.search(r"url\([\"']?(?:https?:)?//", style) for style in styles)
