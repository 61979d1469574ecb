"""The report as one HTML file that needs nothing else: style, charts and text inside; light, dark, and on paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.charts import Points, legend, line_chart
from reports.csv_form import difference
from reports.heat import heat_strip
from reports.words import age, lag, number, percent, short_plan

ICONS: Final = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters.update(age=age, lag=lag, number=number, percent=percent, short_plan=short_plan)


def html_form(document: Mapping[str, Any]) -> str:
    """The page. Every text of the document is escaped."""
    stores = document["series"]["stores"]
    return _PAGES.get_template("report.html.jinja").render(
        r=document,
        icon=ICONS,
        lag_chart=_chart(stores, 2, lag, "Highest lag per store"),
        rate_chart=_chart(stores, 3, lambda value: f"{value:,.0f}/s", "Changes applied per second and store"),
        coverage_chart=Markup(
            line_chart(
                {"proven": [(at, value) for at, value in document["coverage"]["history"]]},
                lambda value: f"{value:.0f} %",
                label="Rows proven equal, percent",
                top=100.0,
            )
        ),
        store_legend=Markup(legend(list(stores))),
        strip=lambda cells: Markup(heat_strip(cells)),
        difference=difference,
        excluded=[(table["plan"], one) for table in document["tables"] for one in table["excluded"]],
    )


def _chart(stores: Mapping[str, Any], column: int, shown: Any, label: str) -> Markup:
    lines: dict[str, Points] = {name: [(row[0], row[column]) for row in rows] for name, rows in stores.items()}
    return Markup(line_chart(lines, shown, label=label))
