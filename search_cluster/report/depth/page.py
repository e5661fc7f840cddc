"""The page of a depth study, a template that extends the shell."""

DEPTH_PAGE = """{% extends "shell" %}
{% from "parts" import no_script, plot_section %}
{% macro table(id, title, caption, columns, rows) %}
<section id="{{ id }}">
<h2>{{ title }}</h2>
<p class="quiet caption">{{ caption }}</p>
<div class="scroll"><table>
<thead><tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
</section>
{% endmacro %}
{% block content %}
<section id="screen">
<p class="verdict">{{ verdict }}</p>
<dl class="screen">{% for topic, text in answers %}
<dt>{{ topic }}</dt><dd>{{ text }}</dd>
{% endfor %}{% for note in notes %}
<dt>Beware</dt><dd class="fails">{{ note }}</dd>
{% endfor %}</dl>
</section>

<section id="found">
<h2>What was found</h2>
<dl class="screen">{% for topic, text in screen %}
<dt>{{ topic }}</dt><dd>{{ text }}</dd>
{% endfor %}</dl>
</section>

{{ no_script() }}
<div class="plots">
{% for plot in plots %}
{{ plot_section(plot, loop.index, "wide") }}{% endfor %}
</div>

{% for item in tables %}
{{ table(item.id, item.title, item.caption, item.columns, item.rows) }}
{% endfor %}

<section id="limits">
<h2>What these numbers do not say</h2>
{% for limit in limits %}<p>{{ limit }}</p>
{% endfor %}</section>
{% endblock %}
"""
