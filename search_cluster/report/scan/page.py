"""The page of a scan's report, a template that extends the shell."""

SCAN_PAGE = """{% extends "shell" %}
{% from "parts" import no_script, plot_section %}
{% macro whisker(row) %}{% if row.whisker %}
<svg class="whisker {{ row.kind }}" viewBox="0 0 100 20" preserveAspectRatio="none" role="img"
aria-label="{{ row.gain }} ({{ row.interval }})">
<line class="zero" x1="{{ row.whisker.zero }}" x2="{{ row.whisker.zero }}" y1="0" y2="20"/>
<line x1="{{ row.whisker.low }}" x2="{{ row.whisker.high }}" y1="10" y2="10"/>
<line class="gain" x1="{{ row.whisker.gain }}" x2="{{ row.whisker.gain }}" y1="4" y2="16"/>
</svg>{% endif %}{% endmacro %}
{% macro standing_rows(rows) %}{% for row in rows %}
<tr><td>{{ row.what }}<br><span class="quiet">{{ row.note }}</span></td>
<td class="number" data-label="right">{{ row.right }}</td>
<td class="number" data-label="gain"><b>{{ row.gain }}</b></td>
<td class="number" data-label="interval">{{ row.interval }}</td>
<td class="picture">{{ whisker(row) }}</td>
<td class="number" data-label="p">{{ row.p }}</td></tr>{% endfor %}{% endmacro %}
{% macro standings(card) %}
<table class="standings">
<thead><tr><th>questions</th><th class="number">right, plain → path</th>
<th class="number">gain, points</th><th class="number">95 % interval</th><th></th>
<th class="number">p</th></tr></thead>
<tbody>{{ standing_rows(card.rows) }}
{% if card.guards %}<tr><th class="group" colspan="6">tasks on which it must not lose</th></tr>
{{ standing_rows(card.guards) }}{% endif %}</tbody></table>{% endmacro %}
{% block content %}
<section id="screen">
<p class="verdict {{ "helps" if sure else "" }}">{{ verdict }}</p>
<dl class="screen">{% for line in screen %}
<dt>{{ line.topic }}</dt>
<dd{% if line.kind %} class="{{ line.kind }}"{% endif %}>{{ line.text }}</dd>
{% endfor %}</dl>
<p class="quiet caption" id="notation">{{ notation }}</p>
</section>

{{ no_script() }}
{% if heat_map %}{{ plot_section(heat_map, 1, "map") }}{% endif %}

<section id="top">
<h2>Best paths of the search</h2>
<p class="quiet caption">By shrunk worth. Gains on train are of those that were chosen for them;
what is left of them is in the cards.</p>
<div class="scroll"><table class="headline">
<thead><tr><th>edits</th><th class="number">layers</th><th class="number">shrunk worth</th>
<th class="number">gain on train</th><th class="number">95 % interval, all at once</th>
<th class="number extra">p</th><th class="number">questions</th></tr></thead>
<tbody>{% for row in top %}
<tr><td class="edits">{{ row.what }}</td><td class="number">{{ row.layers }}</td>
<td class="number">{{ row.shrunk }}</td><td class="number">{{ row.gain }}</td>
<td class="number">{{ row.interval }}</td><td class="number extra">{{ row.p }}</td>
<td class="number">{{ row.questions }}</td></tr>{% endfor %}
</tbody></table></div>
</section>

{% for card in cards %}<section class="finalist" id="finalist-{{ card.number }}">
<h2>{{ card.number }}. {{ card.title }}{% if card.is_chosen %}
<span class="chip">reported</span>{% endif %}</h2>
<p class="saves quiet">{% for text in card.saves %}<span>{{ text }}</span>{% endfor %}
<code>{{ card.path }}</code></p>
{{ standings(card) }}
</section>
{% endfor %}

{% if front %}{{ plot_section(front, 2, "") }}
<section id="front">
<h2>What finalists cost</h2>
<p class="quiet caption">A star: nothing gains as much on validation at no higher cost.</p>
<div class="scroll"><table>
<thead><tr><th></th><th>path</th><th class="number">gain on validation</th>
{% for name in front_columns %}<th class="number">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in front_rows %}
<tr><td>{{ row.number }}</td><td>{{ row.what }}</td><td class="number">{{ row.gain }}</td>
{% for text in row.costs %}<td class="number">{{ text }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
</section>{% endif %}

<section id="race">
<h2>The race</h2>
<div class="scroll"><table>
<thead><tr><th>step</th><th class="number">questions</th><th class="number">paths</th>
<th class="number">wrecks stopped</th><th class="number">went on</th></tr></thead>
<tbody>{% for row in rungs %}
<tr><td>{{ row.step }}</td><td class="number">{{ row.questions }}</td>
<td class="number">{{ row.paths }}</td><td class="number">{{ row.wrecks }}</td>
<td class="number">{{ row.kept }}</td></tr>{% endfor %}
</tbody></table></div>
<table class="facts"><tbody>{% for name, value in costs %}
<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}
</tbody></table>
</section>

<section id="limits">
<h2>What these numbers do not say</h2>
{% for limit in limits %}<p>{{ limit }}</p>
{% endfor %}</section>
{% endblock %}
"""
