"""What all HTML reports share: one file with everything in it, readable without a network.

Pages are Jinja templates that extend the shell and are rendered with autoescape on. Figures arrive
as JSON in script elements of a data type; the one script of our own draws them.
"""

from collections.abc import Sequence
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search_cluster.files import storable_text
from search_cluster.report.beside import PageLink
from search_cluster.report.chart import ReportFigure
from search_cluster.report.style import STYLE

SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';
  img-src data: blob:">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="quiet">{{ subtitle }}</p>
{% if beside %}<p class="quiet" id="beside">The same model: {% for link in beside %}
<a href="{{ link.address }}">{{ link.text }}</a>{{ ", " if not loop.last }}{% endfor %}</p>
{% endif %}{% block content %}{% endblock %}
<section id="provenance">
<h2>Provenance</h2>
<table class="facts"><tbody>{% for name, value in provenance %}
<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}
</tbody></table>
</section>
</main>
<script>{{ plotly }}</script>
<script>
for (const source of document.querySelectorAll("script[data-plot]")) {
  const plot = JSON.parse(source.textContent);
  const options = {responsive: true, displayModeBar: false};
  const target = document.getElementById(source.dataset.plot);
  const {views = [], square = false} = plot.layout.meta ?? {};
  if (square) plot.layout.height = Math.min(target.clientWidth, 680) + 90;
  Plotly.newPlot(target, plot.data, plot.layout, options);
  const make = (name, className, textContent = "") =>
    Object.assign(document.createElement(name), {className, textContent});
  const scale = make("div", "scale");
  const showScale = (view) => {
    if (view.limit === null) return;
    const limit = view.limit.toFixed(view.limit < 10 ? 1 : 0);
    scale.replaceChildren(make("span", "", `−${limit} and below`), make("i", ""),
      make("span", "", `+${limit} ${view.unit}`));
  };
  const buttons = make("div", "views");
  for (const view of views) {
    const button = make("button", "", view.label);
    button.type = "button";
    button.ariaPressed = String(view === views[0]);
    button.addEventListener("click", () => {
      for (const other of buttons.children) other.ariaPressed = String(other === button);
      Plotly.update(target, {visible: view.visible}, view.layout);
      showScale(view);
    });
    buttons.append(button);
  }
  if (views.length > 1) target.before(buttons);
  if (views.length && views[0].limit !== null) {
    showScale(views[0]);
    target.before(scale);
  }
}
const markWide = () => {
  for (const box of document.querySelectorAll(".scroll")) {
    const more = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("more", more);
    if (more) box.tabIndex = 0;
  }
};
markWide();
addEventListener("resize", markWide);
</script>
</body>
</html>
"""
PARTS = """
{% macro plot_section(plot, number, class) %}
<section{% if class %} class="{{ class }}"{% endif %}>
<h2>{{ plot.title }}</h2>
<p class="quiet caption">{{ plot.caption }}</p>
<div class="plot" id="plot-{{ number }}"></div>
<script type="application/json" data-plot="plot-{{ number }}">{{ plot.json }}</script>
</section>
{% endmacro %}
{% macro no_script() %}
<noscript><p>The plots are drawn by a script inside this file; allow it to see them.
All numbers are in the tables.</p>
</noscript>
{% endmacro %}
"""


def render_page(page: str, *, beside: Sequence[PageLink] = (), **values: Any) -> str:
    """The text of a page that extends the shell.

    Args:
        page: the template; it begins with ``{% extends "shell" %}``.
        beside: other pages about the same model.
        values: what it and the shell show: ``title``, ``subtitle``, ``provenance``, and its own.
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=DictLoader({"shell": SHELL, "parts": PARTS}),
    )
    text = environment.from_string(page).render(
        style=Markup(STYLE), plotly=Markup(get_plotlyjs()), beside=beside, **values
    )
    return storable_text(text)


def plot_values(figure: ReportFigure) -> dict[str, Any]:
    """A figure as the macro ``plot_section`` takes it."""
    # plotly writes "<" as an escape (a test holds it to that), so its JSON can't end the script
    # element around it.
    return {
        "title": figure.title,
        "caption": figure.caption,
        "json": Markup(figure.figure.to_json()),
    }
