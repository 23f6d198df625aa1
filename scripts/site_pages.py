"""MkDocs hook: adds the pages that do not stand in `docs/`.

The API reference has one page for each package, found by walking the source tree, so that a module that moves needs no
change here. README, CONTRIBUTING and CHANGELOG are pages too; links between files of the repository become links
between pages.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE_DOCS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "CITATION.cff",
    "LICENSE": "LICENSE",
    "datamodules/datasets/inn_stems/README.md": "inn_stems.md",
    "examples/quick_start.ipynb": "examples/quick_start.ipynb",
}
"""File of the repository to page of the site, for the files outside `docs/`."""

_LINK = re.compile(r"(\]\()([^)#\s]+)")


def packages(root: Path) -> dict[str, list[str]]:
    """Find the documented packages.

    Args:
        root: Folder of the repository.

    Returns:
        Dotted name of each package, sorted, to the dotted names of its modules.
    """
    rooms = [path.parent for path in root.glob("*/__init__.py") if path.parent.name != "tests"]
    folders = sorted(path.parent for room in rooms for path in room.rglob("__init__.py"))
    found = {}
    for folder in folders:
        name = ".".join(folder.relative_to(root).parts)
        found[name] = [f"{name}.{path.stem}" for path in sorted(folder.glob("*.py")) if not path.stem.startswith("__")]
    return found


def api_page(package: str, modules: list[str]) -> str:
    """Write the page of one package.

    Args:
        package: Dotted name.
        modules: Dotted names of its modules.

    Returns:
        Markdown with one mkdocstrings directive for each module.
    """
    return "\n\n".join([f"# {package}", *(f"::: {name}" for name in [package, *modules])]) + "\n"


def rewrite_links(markdown: str, source: str, uri: str) -> str:
    """Turn links between files of the repository into links between pages.

    Args:
        markdown: Text of a page.
        source: Path of its file in the repository.
        uri: Path of its page in the site.

    Raises:
        PluginError: If a link leads to a file that is not part of the site.
    """

    def rewrite(link: re.Match[str]) -> str:
        if "://" in link[2] or link[2].startswith("mailto:"):
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        page = OUTSIDE_DOCS.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if page is None:
            raise PluginError(f"{source}: the link to {target} leads out of the site; add it to OUTSIDE_DOCS.")
        return link[1] + os.path.relpath(page, posixpath.dirname(uri) or ".")

    return _LINK.sub(rewrite, markdown)


def on_config(config: MkDocsConfig) -> None:
    """Fill the navigation of the API reference."""
    pages = [{name: f"api/{name}.md"} for name in packages(ROOT)]
    for entry in config.nav or []:
        if "API reference" in entry:
            entry["API reference"] = pages


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Add the pages."""
    for path, uri in OUTSIDE_DOCS.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for package, modules in packages(ROOT).items():
        files.append(File.generated(config, f"api/{package}.md", content=api_page(package, modules)))


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page that is a file of the repository."""
    uri = page.file.src_uri
    if uri.startswith("api/"):
        return markdown
    outside = {page: path for path, page in OUTSIDE_DOCS.items()}
    return rewrite_links(markdown, outside.get(uri, f"docs/{uri}"), uri)
