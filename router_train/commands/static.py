"""``router-train static``: the path of a scan as a router."""

from pathlib import Path
from shlex import quote

from router_train.export.publish import push_at_end
from router_train.inference.router_task import task_flag
from router_train.training.of_scan import static_of_scan
from search_cluster.console import print_json, say, show
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.push import require_token


def run_static(
    scan: Path,
    out: Path,
    *,
    named: str | None,
    best: bool,
    force: bool,
    json_output: bool,
    choice: PushChoice,
) -> None:
    """Save the router, say what is known of its path, and push it if that is asked for."""
    require_token(choice)
    outcome = static_of_scan(scan, out, named=named, best=best, force=force)
    meta = outcome.meta
    path = meta.settings["path"]
    if outcome.already_finished:
        say(f"{out} already holds this router of path {path}")
    else:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in meta.metrics.items())
        known = f"{figures}, on {meta.judged_on}" if figures else "nothing was measured of it"
        show(
            f"static router of path {path} saved in {out}\n{known}\n"
            f"next: router-train evaluate --router {quote(str(out))}"
            f"{task_flag(out, meta.inputs.tasks[0])} --split test",
            json_output=json_output,
        )
    hub = push_at_end(out, choice, source=scan, json_output=json_output)
    if json_output:
        print_json(
            {
                "router": meta.kind,
                "out": str(out),
                "already_finished": outcome.already_finished,
                "digest": meta.digest,
                "path": path,
                "metrics": meta.metrics,
                "metrics_judged_on": meta.judged_on,
                **hub,
            }
        )
