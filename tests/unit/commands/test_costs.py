"""What a run cost is the same wherever it is told, and nowhere told without a price."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.run_folders import all_kinds, counters, write_run, write_session
from support.scans import scan_result, write_scan

from search_cluster.commands.report import describe_status, write_run_report
from search_cluster.config import SearchConfig, read_config
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.summary import summarise
from search_cluster.errors import ConfigError
from search_cluster.report.scan.terminal import print_scan
from search_cluster.report.terminal import print_summary
from search_cluster.telemetry.price import Price, priced
from search_cluster.telemetry.sessions import total_of

HOUR = counters(1800, done=5) | {
    "computed_flops": 3e15,
    "available_flops": 1e16,
    "layer_rows": 7_200_000,
    "tie_rechecks": 4,
    "recheck_seconds": 324.0,
}
"""Of two devices, half an hour each."""
EUROS = Price(per_gpu_hour=2.0, currency="EUR")
SAID = "2.00 EUR (at 2.00 EUR a device-hour, 40.00 EUR for 1,000 paths)"
"""An hour, and 50 paths."""


def totals(*sessions: dict[str, Any]) -> dict[str, Any]:
    return total_of(priced(sessions, EUROS))


def test_status_and_report_of_a_search(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds())
    write_session(folder, HOUR)
    without, status = describe_status(folder), describe_status(folder, EUROS)
    assert without["cost"] is without["cost_per_1000_paths"] is None
    assert (without["peak_share"], without["recheck_share"]) == (0.3, 0.1)
    assert (status["cost"], status["currency"], status["price_per_gpu_hour"]) == (2.0, "EUR", 2.0)
    page = write_run_report(folder, tmp_path / "page.html", EUROS).read_text()
    assert SAID in page
    for row in ("30.0%", "2,000", "10.0%"):  # of a product, rows a second and device, rechecks
        assert f"<td>{row}</td>" in page
    assert "EUR" not in write_run_report(folder, tmp_path / "page.html").read_text()
    console = Console(record=True, width=120)
    print_summary(console, totals(HOUR), summarise(read_corpus(folder).records))
    assert "2.00 EUR" in console.export_text()


def test_status_report_and_terminal_of_a_scan(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "scan", result := scan_result())
    write_session(folder, HOUR | EUROS.to_json())
    assert describe_status(folder)["cost"] == 2.0
    page = write_run_report(folder, tmp_path / "page.html").read_text()
    assert page.count(SAID) == 2, "on the first screen, and among the costs"
    console = Console(record=True, width=120)
    print_scan(console, result, totals(HOUR))
    assert f"Cost: {SAID}." in console.export_text()


def test_a_settings_file_names_a_price_as_people_write_it(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('price_per_gpu_hour = 2\ncurrency = "EUR"\n')
    config = read_config(tmp_path / "run.toml")
    assert (config.price_per_gpu_hour, config.currency) == (2.0, "EUR")
    with pytest.raises(ConfigError, match=r"price_per_gpu_hour is -1\.0; it is a number from 0"):
        SearchConfig(price_per_gpu_hour=-1.0)
