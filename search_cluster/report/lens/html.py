"""The heat map of a text: states by tokens, in one HTML file."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from search_cluster.files import storable_text, write_text_whole
from search_cluster.report.chart import ReportFigure, lay_out
from search_cluster.report.lens.terminal import shown_token
from search_cluster.report.lens.view import LensView
from search_cluster.report.shell import plot_values, render_page

PAGE = """{% extends "shell" %}
{% from "parts" import no_script, plot_section %}
{% block content %}
{{ no_script() }}
{{ plot_section(heat_map, 1, "wide cells") }}
{{ plot_section(curves, 2, "wide") }}
<section id="end">
<h2>Where each position settles</h2>
<p class="quiet">The first state from which on the likeliest token is that of the end of the
path.</p>
<div class="scroll tall"><table>
<thead><tr><th class="number">position</th><th>token</th><th>says at the end</th>
<th>from</th></tr></thead>
<tbody>{% for row in settled %}
<tr><td class="number">{{ row.position }}</td><td><code>{{ row.token }}</code></td>
<td><code>{{ row.end }}</code></td><td>{{ row.since }}</td></tr>{% endfor %}
</tbody></table></div>
</section>
{% endblock %}
"""
COLOURS = ((0.0, "#2f78d0"), (0.5, "#e6e0c8"), (1.0, "#d9762b"))
"""From the same as the end to far from it."""
MOST_DIVERGENCE = 12.0
"""Nats at the end of the scale of colours, at most."""
ROW_HEIGHT, CELL_FONT = 20, 11
"""Pixels of a cell, and of its letters, which plotly shrinks beyond reading if it is let."""
SHOWN_COLUMNS, CELL_LETTERS = 16, 8
"""Positions that are seen at first, and letters of a token that a cell has room for then."""


def write_lens_page(out: Path, view: LensView) -> None:
    """Write the page, atomically.

    Raises:
        CorpusError: the operating system refused.
    """
    text = render_page(
        PAGE,
        title=f"What {view.model} would say after each layer",
        subtitle=f"{view.kind} lens along path {view.path}",
        heat_map=plot_values(heat_map(view)),
        curves=plot_values(curves(view)),
        settled=settled_rows(view),
        provenance=[
            ("model", view.model),
            ("lens", f"{view.lens} ({view.kind})"),
            ("path", view.path),
            ("text", view.source),
            ("tokens", f"{len(view.tokens)}"),
        ],
    )
    write_text_whole(out, text)


def heat_map(view: LensView) -> ReportFigure:
    """States by positions, coloured by divergence, with the likeliest token in each cell."""
    divergence = np.array([row.divergence for row in view.rows])
    limit = float(min(MOST_DIVERGENCE, max(divergence.max(), 0.1)))
    figure = go.Figure(
        go.Heatmap(
            z=divergence.tolist(),
            y=[row.name for row in view.rows],
            text=[[_cell(token) for token in row.top] for row in view.rows],
            textfont={"size": CELL_FONT},
            customdata=_hover(view),
            texttemplate="%{text}",
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=[list(stop) for stop in COLOURS],
            zmin=0,
            zmax=limit,
            showscale=False,
            xgap=1,
            ygap=1,
        )
    )
    num_rows = len(view.rows)
    lay_out(figure, "position and token", "state", height=ROW_HEIGHT * num_rows + 110)
    figure.update_xaxes(
        tickvals=list(range(len(view.tokens))),
        ticktext=[_shown(token) for token in view.tokens],
        side="top",
        fixedrange=False,
        range=[max(-0.5, len(view.tokens) - SHOWN_COLUMNS - 0.5), len(view.tokens) - 0.5],
    )
    return ReportFigure(
        title="Layer by layer",
        caption=(
            "In each cell stands the token that is likeliest there. Blue says the same as the end "
            f"of the path, orange is {limit:.1f} nats away and more. Point at a cell for rank, "
            "entropy and probability; drag sideways for other positions."
        ),
        figure=figure,
    )


def curves(view: LensView) -> ReportFigure:
    """The mean divergence and entropy of the positions, state by state."""
    names = [row.name for row in view.rows]
    figure = go.Figure()
    for label, values in (
        ("divergence from the end", [float(np.mean(row.divergence)) for row in view.rows]),
        ("entropy", [float(np.mean(row.entropy)) for row in view.rows]),
    ):
        figure.add_scatter(x=names, y=values, mode="lines+markers", name=label)
    lay_out(figure, "state", "nats, mean over positions")
    return ReportFigure(
        title="On the way",
        caption=f"Means over {len(view.tokens)} positions.",
        figure=figure,
    )


def settled_rows(view: LensView) -> list[dict[str, str]]:
    """Per position: its token, what the path says at the end, and since when."""
    rows = []
    for position, token in enumerate(view.tokens):
        since = len(view.rows)
        while since > 0 and view.rows[since - 1].final_rank[position] == 0:
            since -= 1
        rows.append(
            {
                "position": str(position),
                "token": shown_token(token),
                "end": shown_token(view.rows[-1].top[position]),
                "since": view.rows[since].name if since < len(view.rows) else "never",
            }
        )
    return rows


def _shown(token: str) -> str:
    """A token as plotly shows it, which reads a few HTML tags in texts."""
    return _as_text(shown_token(token))


def _as_text(text: str) -> str:
    return storable_text(text).replace("&", "&amp;").replace("<", "&lt;")


def _cell(token: str) -> str:
    shown = shown_token(token)
    cut = shown if len(shown) <= CELL_LETTERS else f"{shown[: CELL_LETTERS - 1]}…"
    return _as_text(cut)


def _hover(view: LensView) -> list[list[str]]:
    return [
        [
            f"{row.name}, position {position} {_shown(view.tokens[position])}"
            f"<br>says {_shown(row.top[position])} ({row.top_probability[position]:.1%})"
            f"<br>KL to the end {row.divergence[position]:.2f} nats"
            f"<br>entropy {row.entropy[position]:.2f} nats"
            f"<br>rank of the end's token {row.final_rank[position] + 1:,}"
            + (
                ""
                if row.next_rank[position] is None
                else f"<br>rank of the text's next token {row.next_rank[position] + 1:,}"  # type: ignore[operator]
            )
            for position in range(len(view.tokens))
        ]
        for row in view.rows
    ]
