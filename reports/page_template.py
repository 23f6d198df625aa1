"""Self-contained HTML pages, with Plotly, data, style and scripts in one file."""

from __future__ import annotations

import json
import math
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

_PAGE = Path(__file__).parent / "page"


def render_page(template: str, payload: dict[str, Any], scripts: list[str], **values: Any) -> str:
    """Render a page with its style, scripts and data.

    Args:
        template: Name of a file in `reports/page`.
        payload: Data for the scripts, written as JSON; NaN becomes null.
        scripts: Names of files in `reports/page`, in order.
        **values: Variables of the template.
    """
    from markupsafe import Markup

    plotly = pkgutil.get_data("plotly", "package_data/plotly.min.js")
    assert plotly is not None
    return render_template(
        template,
        css=page_style(),
        script=Markup("\n".join((_PAGE / name).read_text() for name in scripts)),
        plotly=Markup(plotly.decode()),
        payload=Markup(to_json(payload)),
        **values,
    )


def page_style() -> Markup:
    """The style of all pages."""
    from markupsafe import Markup

    return Markup((_PAGE / "report.css").read_text())


def render_template(template: str, **values: Any) -> str:
    """Render a template.

    Args:
        template: Name of a file in `reports/page`.
        **values: Variables of the template; text is escaped unless it is `Markup`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**values)


def to_json(value: Any) -> str:
    """JSON that is safe inside a script element; NaN and infinite numbers become null."""
    text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value
