"""Dashboard and alert rules speak of metrics that exist; Prometheus' own tool tests the rules."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from search_cluster.protocols.metrics import MetricKind
from search_cluster.telemetry.metrics import METRICS

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus/rules.yml"
EXPORTED = {
    f"ray_{metric.name}_total" if metric.kind is MetricKind.COUNTER else f"ray_{metric.name}"
    for metric in METRICS
}
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus"
)


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((DEPLOY / "grafana/search-cluster.json").read_text())
    return values


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bray_search_\w+", text))


def test_the_dashboard_shows_every_metric_and_no_other(dashboard: dict[str, Any]) -> None:
    assert names_in(json.dumps(dashboard)) == EXPORTED


def test_the_dashboard_opens_with_what_a_gpu_hour_buys(dashboard: dict[str, Any]) -> None:
    first = dashboard["panels"][0]
    assert first["title"] == "Paths searched per GPU-hour"
    assert first["type"] == "timeseries"
    assert (first["gridPos"]["x"], first["gridPos"]["y"]) == (0, 0)


def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert max(column for column, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_query_goes_to_the_chosen_data_source_and_run(dashboard: dict[str, Any]) -> None:
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert defined == {"datasource", "run", "node"}
    for panel in dashboard["panels"]:
        assert panel["type"] in ("timeseries", "stat", "row")
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            selectors = re.findall(r"ray_search_\w+(\{[^}]*\})?", target["expr"])
            assert all('run=~"$run"' in selector for selector in selectors), target["expr"]


def test_alerts_speak_of_metrics_that_exist_and_say_what_to_do() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert names_in(rule["expr"]) <= EXPORTED
        if "alert" in rule:
            assert {"summary", "action"} == set(rule["annotations"])


@needs_promtool
def test_prometheus_accepts_configuration_and_rules() -> None:
    for command in (
        ["check", "rules", str(RULES)],
        ["check", "config", str(DEPLOY / "prometheus/prometheus.yml")],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    cases = (Path(__file__).parent / "rules_test.yml").read_text().replace("RULES", str(RULES))
    (tmp_path / "rules_test.yml").write_text(cases)
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "rules_test.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
