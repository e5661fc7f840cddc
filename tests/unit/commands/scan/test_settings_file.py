"""What a scan takes from ``--config``."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from search_cluster.cli import app
from search_cluster.config import SearchConfig
from search_cluster.scan.settings import ScanSettings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[SearchConfig, ScanSettings, Any]]:
    """What scans were asked for; none of them runs."""
    found: list[tuple[SearchConfig, ScanSettings, Any]] = []

    def run_scan(config: SearchConfig, settings: ScanSettings, **rest: Any) -> dict[str, Any]:
        found.append((config, settings, rest["tasks"]))
        return {}

    monkeypatch.setattr("search_cluster.commands.scan.run.run_scan", run_scan)
    return found


def scan(file: Path, text: str, *flags: str) -> Any:
    file.write_text(text)
    return CliRunner().invoke(app, ["scan", "--config", str(file), "--json", *flags])


def test_settings_of_a_scan_count_and_flags_win(
    asked: list[tuple[SearchConfig, ScanSettings, Any]], tmp_path: Path
) -> None:
    text = (
        'model = "m"\ntask = "elements"\nlimit = 8\nbudget = 900\ngrow = 1\nmax_block = 2\n'
        'aim = "layers"\nfamilies = ["skip"]\nminutes = 3\ntimings = false\nstate_bytes = 5\n'
    )
    done = scan(tmp_path / "x.toml", text, "--grow", "3", "--timings", "--limit", "9")
    assert done.exit_code == 0, done.output
    ((config, settings, tasks),) = asked
    assert tasks == ["elements"]
    assert (config.model, config.limit, config.state_bytes, config.budget) == ("m", 9, 5, None)
    assert settings == ScanSettings(
        budget=900, grow=3, max_block=2, aim="layers", families=("skip",), minutes=3.0
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('split = "test"', "has the key 'split'; keys are: model, revision"),
        ('preset = "drllm"', "has the key 'preset'"),
        ('study = "x"', "has the key 'study'"),
        ("foo = 1", "has the key 'foo'"),
        ('families = "skip"', "families is 'skip'; it is a list of type str"),
        ("families = [1]", "families is [1]; it is a list of type str"),
        ("grow = 0", "grow is 0; it is at least 1"),
        ('grow = "all"', "grow is 'all'; it is of type int"),
    ],
)
def test_what_has_no_use_for_a_scan_is_refused_by_name(
    text: str,
    complaint: str,
    asked: list[tuple[SearchConfig, ScanSettings, Any]],
    tmp_path: Path,
) -> None:
    done = scan(tmp_path / "x.toml", f'task = "elements"\n{text}\n')
    assert done.exit_code == 2
    assert complaint in done.output
    assert not asked
