"""The page of a search's report, a template that extends the shell."""

PAGE = """{% extends "shell" %}
{% from "parts" import no_script, plot_section %}
{% block content %}
<section id="screen">
<p class="verdict {{ verdict_kind }}">{{ verdict }}</p>
<dl class="screen">{% for line in screen %}
<dt>{{ line.topic }}</dt>
<dd{% if line.kind %} class="{{ line.kind }}"{% endif %}>{{ line.text }}</dd>
{% endfor %}</dl>
</section>

<div class="cards">
{% for card in cards %}<div class="card"><b>{{ card.value }}</b><span>{{ card.label }}</span></div>
{% endfor %}</div>

{% if findings %}<section id="findings">
<h2>What routers do</h2>
{% for finding in findings %}<p{% if finding.kind %} class="{{ finding.kind }}"{% endif %}
>{{ finding.text }}</p>
{% endfor %}</section>

{% endif %}<section id="headline">
<h2>Numbers</h2>
<div class="scroll"><table class="headline">
<thead><tr><th>what</th><th class="number">right</th><th class="number">95 % interval</th>
<th class="number">layers a question</th></tr></thead>
<tbody>{% for row in headline %}
<tr><td>{{ row.what }}<br><span class="quiet">{{ row.n }} questions</span></td>
<td class="number">{{ row.accuracy }}</td>
<td class="number">{{ row.interval }}</td><td class="number">{{ row.layers }}</td></tr>{% endfor %}
</tbody></table></div>
</section>

{% if routers %}<section id="routers">
<h2>{{ routers_title }}</h2>
<p class="quiet">One answer a question. Differences to the plain model in percentage points,
questions paired, with 95 % intervals; only right: questions that only the routed or only the plain
model answers rightly, and McNemar's exact test on them. Shown: what the questions show, by the
interval and the test; where neither is clear, that nobody can tell.</p>
<div class="scroll"><table class="headline">
<thead><tr><th>what</th><th class="number">right</th><th class="number">difference</th>
<th class="number">only right: routed / plain</th><th class="number">p</th>
<th class="number">layers saved</th><th>shown</th></tr></thead>
<tbody>{% for row in routers %}
<tr><td>{{ row.what }}<br><span class="quiet">{{ row.where }}</span></td>
<td class="number">{{ row.right }}</td><td class="number">{{ row.difference }}</td>
<td class="number">{{ row.fixed }}</td><td class="number">{{ row.p }}</td>
<td class="number">{{ row.saved }}</td><td>{{ row.effect }}</td></tr>{% endfor %}
</tbody></table></div>
</section>

{% endif %}
{{ no_script() }}
<div class="plots">
{% for plot in plots %}
{{ plot_section(plot, loop.index, "wide" if loop.first else "") }}{% endfor %}
</div>

<section id="search">
<h2>The search</h2>
<table class="facts"><tbody>{% for name, value in search_rows %}
<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}
</tbody></table>
</section>

<section id="examples">
<h2>Questions and their best paths</h2>
<p class="quiet">{{ examples_note }} {{ notation }}</p>
<div class="scroll tall"><table class="examples">
<thead><tr><th>question</th><th>right answer</th><th>plain model says</th><th>best path</th>
<th>answer on it</th></tr></thead>
<tbody>{% for row in examples %}
<tr><td class="text">{{ row.question }}</td>
<td class="text" data-label="right answer">{{ row.gold }}</td>
<td class="text {{ row.identity_class }}" data-label="plain model says">{{ row.identity }}</td>
<td data-label="best path"><code>{{ row.path }}</code>
<span class="quiet">{{ row.layers }}</span></td>
<td class="text {{ row.output_class }}" data-label="answer on it">{{ row.output }}</td></tr>
{% endfor %}</tbody></table></div>
</section>

<section id="limits">
<h2>What these numbers do not say</h2>
{% for limit in limits %}<p>{{ limit }}</p>
{% endfor %}</section>
{% endblock %}
"""
