"""What is known of a shortcut as one HTML file without scripts: readouts, and who looked where."""

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from router_train.routers.shortcut.comparison import interval_text

COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#9c755f")
BAR_WIDTH, BAR_HEIGHT = 520, 18

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shortcut of path {{ found.path }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66em; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.alarm { background: #fdecea; border-left: 4px solid #c62828; padding: .6em 1em; }
.key { display: inline-block; width: .9em; height: .9em; margin: 0 .3em 0 1em; }
</style></head><body>
<h1>Shortcut behind the last layer</h1>
<p>Path <b>{{ found.path }}</b>, sources {{ found.sources | join(', ') }}, rank {{ found.rank }},
{{ found.num_heads }} heads; learned: {{ found.learn }}, of {{ found.num_teaching }} questions and
texts, stopped by {{ found.num_stopping }} others. Kept readout: {{ found.readout }}
{%- if 'chosen_by' in found %}, by the smallest loss on what stopped the training (
{%- for kind, value in found.chosen_by.stopping_loss.items() %}{{ kind }}
{{ '%.4f' | format(value) }}{{ ', ' if not loop.last }}{% endfor %}){% endif %}.</p>
{% for alarm in found.attention.alarms %}<p class="alarm">{{ alarm }}</p>{% endfor %}
<h2>Beside it, at equal cost</h2>
<p>{{ found.readouts[0].n }} held-out questions whose facts taught and stopped nothing. Differences
are paired, with 95 % intervals.</p>
<table><tr><th>readout</th><th>layers</th><th>accuracy</th><th>loss</th><th>KL to full</th>
<th>points over path alone</th><th>loss over path alone</th><th>shortcut minus it, points</th></tr>
{% for row in found.readouts %}<tr><td>{{ row.name }}{{ ' (the router)' if row.is_router }}</td>
<td>{{ '%.3f' | format(row.cost_layers) }}</td><td>{{ '%.1f' | format(100 * row.accuracy) }} %</td>
<td>{{ '%.4f' | format(row.loss) }}</td><td>{{ '%.4f' | format(row.kl_to_full) }}</td>
<td>{{ points(row, 'minus_path_alone') }}</td><td>{{ loss(row) }}</td>
<td>{{ points(row, 'shortcut_minus_it') }}</td></tr>
{% endfor %}</table>
<h2>Who looked where</h2>
<p>The mean weight of each source, over heads and over the held-out rows of a group; a token class
is that of the token that a row reads.</p>
<p>{% for source in found.attention.sources %}<span class="key"
style="background: {{ colour(loop.index0) }}"></span>layer {{ source }}{% endfor %}</p>
<table><tr><th>rows</th><th>n</th><th></th>{% for source in found.attention.sources %}
<th>layer {{ source }}</th>{% endfor %}<th>largest</th><th>bits</th></tr>
{% for row in found.attention.rows %}<tr><td>{{ row.by }}: {{ row.name }}</td>
<td>{{ row.num_rows }}</td>
<td><svg width="{{ width }}" height="{{ height }}" role="img"
aria-label="weights of the sources">{% for bar in bars(row.share) %}<rect x="{{ bar.x }}" y="0"
width="{{ bar.width }}" height="{{ height }}" fill="{{ bar.fill }}"><title>layer
{{ found.attention.sources[loop.index0] }}: {{ bar.share }}</title></rect>{% endfor %}</svg></td>
{% for share in row.share %}
<td style="background: rgba(78, 121, 167, {{ '%.2f' | format(share) }})">
{{ '%.3f' | format(share) }}</td>{% endfor %}<td>{{ '%.3f' | format(row.largest) }}</td>
<td>{{ '%.2f' | format(row.entropy_bits) }}</td></tr>
{% endfor %}</table>
</body></html>
"""


def page_of(found: Mapping[str, Any]) -> str:
    """The page of what ``shortcut.json`` says."""
    environment = Environment(
        loader=DictLoader({"page": _PAGE}), autoescape=True, undefined=StrictUndefined
    )
    text: str = environment.get_template("page").render(
        found=found,
        points=_points,
        loss=_loss,
        bars=_bars,
        colour=_colour,
        width=BAR_WIDTH,
        height=BAR_HEIGHT,
    )
    return text


def _points(row: Mapping[str, Any], which: str) -> str:
    if which not in row:
        return ""
    return interval_text(row[which]["accuracy"], factor=100, digits=1)


def _loss(row: Mapping[str, Any]) -> str:
    return interval_text(row["minus_path_alone"]["loss"]) if "minus_path_alone" in row else ""


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _bars(shares: list[float]) -> list[dict[str, str]]:
    """The rectangles of one stacked bar."""
    bars, begin = [], 0.0
    for place, share in enumerate(shares):
        bars.append(
            {
                "x": f"{BAR_WIDTH * begin:.1f}",
                "width": f"{BAR_WIDTH * share:.1f}",
                "fill": _colour(place),
                "share": f"{share:.3f}",
            }
        )
        begin += share
    return bars
