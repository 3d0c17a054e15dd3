"""The page that all reports are: one HTML file without scripts or outside resources."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.axes import Axes

from gossamer.report.plots import style
from gossamer.report.text import counted, number


def page(template: str) -> Template:
    """A template of this folder, with the house's colours and filters."""
    environment = Environment(
        loader=PackageLoader("gossamer.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, counted=counted)
    return environment.get_template(template, globals={"light": style.LIGHT, "dark": style.DARK})


def inline(ax: Axes, name: str) -> Markup:
    """A plot as part of a page. User text in it was escaped by matplotlib."""
    return Markup(style.to_svg(ax, name))
