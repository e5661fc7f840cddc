"""The essentials of a run in a terminal: one picture, or one that renews itself."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search_cluster.bridged_spec import model_name
from search_cluster.dashboard.overview import describe_run
from search_cluster.dashboard.run_folder import RunFolder, RunState
from search_cluster.report.scan.words import seconds_text
from search_cluster.telemetry.price import money
from search_cluster.telemetry.run_counters import share_of_peak

MAX_SESSIONS = 6
"""The number of newest sessions that are listed; older ones are counted."""
STATE_STYLES = {
    RunState.STARTING: "yellow", RunState.RUNNING: "green", RunState.SILENT: "red",
    RunState.FINISHED: "green",
}  # fmt: skip
SESSION_COLUMNS = (
    "took", "workers", "searched", "cached", "failed", "of peak", "per dev.-hour",
)  # fmt: skip
NONE = "-"


def watch_run(
    folder: RunFolder,
    console: Console,
    *,
    interval_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the run, renewed every ``interval_s``, until it is finished.

    Ctrl-C ends the view without an error.
    """
    try:
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while True:
                values = describe_run(folder)
                live.update(render_run(values), refresh=True)
                if values["run"]["state"] == RunState.FINISHED:
                    return
                sleep(interval_s)
    except KeyboardInterrupt:
        return


def render_run(values: dict[str, Any]) -> RenderableType:
    """The picture of what `describe_run` says."""
    run, progress = values["run"], values["progress"]
    provenance = run["provenance"]
    what = ""
    if provenance:
        name = model_name(provenance["model_spec"])
        what = f"{name} on {provenance['task']}, preset {provenance['preset']}"
    if values["scan"] is not None:
        what = values["scan"]["title"]
    state = RunState(run["state"])
    sign = f" for {duration(run['last_sign_s'])}" if state is RunState.SILENT else ""
    words = "no sign of life" if state is RunState.SILENT else state.value
    title = Text.assemble(
        (f"{run['name']} ", "bold"),
        f"{what}  " if what else "",
        (words + sign, STATE_STYLES[state]),
    )
    scan = values["scan"]
    unit = "questions" if scan is None else "verdicts"
    parts: list[RenderableType] = [title, _progress(progress, unit)]
    if progress["study_budget"]:
        parts.append(Text(values["screen"][-1]["text"]))
    if scan is not None:
        parts += [Text(text) for text in _scan_texts(scan)]
    parts.append(_numbers(values))
    if (starved := values["costs"]["starved"]) is not None:
        parts.append(Text(starved, style="red"))
    if values["sessions"]:
        parts.append(_sessions(values["sessions"]))
    parts += [Text(problem, style="red") for problem in values["problems"]]
    return Panel(Group(*parts), expand=False)


def duration(seconds: float | None) -> str:
    """Seconds in words, as coarse as one reads them."""
    return NONE if seconds is None else seconds_text(seconds)


def _scan_texts(scan: dict[str, Any]) -> list[str]:
    """What a scan found, or does now."""
    verdict = [] if scan["verdict"] is None else [scan["verdict"]]
    return [*verdict, *(f"{line['topic']}: {line['text']}" for line in scan["lines"])]


def _progress(progress: dict[str, Any], unit: str) -> RenderableType:
    done, total = progress["examples_done"], progress["examples_total"]
    if not total:
        return Text(f"{done:,} {unit}")
    left = progress["seconds_left"]
    grid = Table.grid(padding=(0, 1))
    words = f"{done:,} of {total:,} {unit}, {done / total:.1%}"
    grid.add_row(
        ProgressBar(total=total, completed=done, width=32),
        words,
        f"about {duration(left)} left" if left else "",
    )
    return grid


def _numbers(values: dict[str, Any]) -> Table:
    costs, found = values["costs"], values["found"]
    now = costs["now"]
    pairs = []
    if now is not None:
        pairs += [
            ("paths a second, now", _decimal(now["searched_per_s"])),
            ("per device-hour, now", _whole(now["searched_per_device_hour"])),
        ]
    pairs += [
        ("of a plain product's arithmetic", _percent(costs["peak_share"])),
        ("workers had requests", _percent(costs["busy_share"])),
        ("paths searched per device-hour", _whole(costs["paths_per_device_hour"])),
        ("paths searched", _whole(costs["paths_searched"])),
        ("evaluated on a device", _whole(costs["paths_evaluated"])),
        (
            "answered by the cache",
            f"{_whole(costs['cache_hits'])} ({_percent(costs['cache_hit_rate'])})",
        ),
        ("failures", _whole(costs["failures"])),
    ]
    if values["scan"] is None:
        pairs += [
            ("plain model right", _share(found["identity"])),
            ("some path found right", _share(found["found"])),
            ("layers saved, mean", _saved(found)),
        ]
    pairs.append(("device time held", duration(costs["device_seconds"])))
    if costs["cost"] is not None:
        pairs.append(("cost", money(costs["cost"], costs["currency"] or "")))
    if len(pairs) % 2:
        pairs.append(("", ""))
    grid = Table.grid(padding=(0, 2))
    for _ in range(2):
        grid.add_column(style="dim")
        grid.add_column(justify="right")
    for left, right in zip(pairs[::2], pairs[1::2], strict=True):
        grid.add_row(*left, *right)
    return grid


def _sessions(sessions: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("session", no_wrap=True)
    for name in SESSION_COLUMNS:
        table.add_column(name, justify="right")
    for session in sessions[-MAX_SESSIONS:]:
        table.add_row(
            escape(str(session.get("started_at", NONE))[:16].replace("T", " ")),
            duration(session.get("elapsed_seconds")),
            _whole(session.get("workers")),
            _whole(session.get("paths_searched")),
            _whole(session.get("cache_hits")),
            _whole(session.get("failures")),
            _percent(share_of_peak(session)),
            _whole(session.get("paths_per_device_hour")),
        )
    if len(sessions) > MAX_SESSIONS:
        table.caption = f"and {len(sessions) - MAX_SESSIONS} earlier ones"
    return table


def _saved(found: dict[str, Any]) -> str:
    saved = found["mean_layers_saved"]
    return NONE if saved is None else f"{saved:.1f} of {found['num_layers']}"


def _share(share: dict[str, float] | None) -> str:
    return NONE if share is None else f"{share['share']:.1%}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def _whole(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return NONE if value is None else f"{value:,.1f}"
