"""``status`` and ``report`` on the folder of a scan."""

from pathlib import Path

import pytest
from support.html_page import parsed
from support.scans import scan_result, write_running_scan, write_scan

from search_cluster.commands.report import describe_status, print_run, write_run_report
from search_cluster.errors import CorpusError
from search_cluster.report.scan.in_short import in_short
from search_cluster.report.scan.verdict import verdict_line


def test_the_report_of_a_finished_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = scan_result()
    folder = write_scan(tmp_path / "run", result)
    assert write_run_report(folder, None) == folder / "report.html"
    words = parsed(folder / "report.html").words
    assert verdict_line(result) in words
    assert "12 min with 2 workers" in words, "what it cost is in its sessions"
    print_run(folder, with_notes=True, report=folder / "report.html")
    out = capsys.readouterr().out
    assert out.startswith("skip 14-19 is better than the plain model")
    said = f"In short: {in_short(result)}\nreport: {folder / 'report.html'}\nTry next:\n"
    static = f"  router-train static {folder} --out {folder}/routers/static\n"
    export = f"  search-cluster scan export {folder} --format hf --out {folder}/exported\n"
    assert out.endswith(f"{said}{static}{export}  search-cluster dashboard {folder}\n")


def test_with_a_router_the_next_command_uses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_scan(tmp_path / "run", scan_result(is_sure=False))
    (folder / "routers" / "static").mkdir(parents=True)
    (folder / "routers" / "static" / "router.json").touch()
    print_run(folder, with_notes=True)
    out = capsys.readouterr().out
    assert f"router-train generate --router {folder}/routers/static --prompt " in out
    assert "scan export" in out
    assert " --best --format hf" in out, "a scan that is not sure gives no path away without it"
    assert "report:" not in out
    assert "\nNext: " in out


def test_the_report_of_an_unfinished_scan_is_refused(tmp_path: Path) -> None:
    folder = write_running_scan(tmp_path / "run")
    for ask in (lambda: write_run_report(folder, None), lambda: print_run(folder, with_notes=True)):
        with pytest.raises(CorpusError, match="is unfinished; run the same scan again"):
            ask()
    assert not (folder / "report.html").exists()


def test_the_status_of_a_scan(tmp_path: Path) -> None:
    running = describe_status(write_running_scan(tmp_path / "running", finished_rungs=2))
    assert (running["finished"], running["stage"], running["step"]) == (False, "race", 0)
    assert running["best_low"] < running["best_gain"] < running["best_high"]
    assert running["num_candidates"] == 929
    result = scan_result(is_sure=False)
    finished = describe_status(write_scan(tmp_path / "finished", result))
    assert finished["finished"] is True
    assert finished["verdict"] == verdict_line(result)
    assert (finished["path"], finished["sure"]) == ("0-29", False)
    assert (finished["sessions"], finished["test_uses"]) == (1, 1)
    assert finished["device_seconds"] == 1440
