"""The command line ``search-cluster``: options, their help, and how results are printed.

Everything heavy is imported inside the commands that need it, so that ``--help`` answers at once.
"""

import json
import sys
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from search_cluster.config import SearchConfig, read_config, read_settings
from search_cluster.console import NOTHING_KEPT, VERDICTS_KEPT, one_line_errors, print_json, run_app
from search_cluster.errors import ConfigError

DEFAULTS = SearchConfig()

app = typer.Typer(
    help="Search the layer paths of a frozen LLM: skip or repeat layers per question, find shorter right paths.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder of a search.")]
RayOption = Annotated[
    str | None,
    typer.Option(
        help="local (a private Ray), none (this process), auto (a running one) or an address.",
        show_default=DEFAULTS.ray,
    ),
]
RedisOption = Annotated[
    str | None,
    typer.Option(
        help="embedded, none, or redis://, rediss://, unix:// URL; a password is safer in the variable.",
        envvar="LPS_REDIS_URL",
        show_default=DEFAULTS.redis_url,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Evaluators.", show_default="one per GPU, else per core up to 8")
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="CPU threads of a worker.", show_default=str(DEFAULTS.threads_per_worker))
]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu or cuda.", show_default=DEFAULTS.device)]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
RemoteCodeOption = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
]
ConfigOption = Annotated[Path | None, typer.Option(help="TOML file with settings; flags win over it.")]


class ExportFormat(StrEnum):
    """What ``export`` writes."""

    POLAR = "polar"
    DECISIONS = "decisions"
    PARQUET = "parquet"


def main() -> None:
    """Entry point of the console script."""
    run_app(app)


@app.command(
    epilog="""\b
    Examples:
      search-cluster search --model demo --task capitals --limit 50 --run runs/first
      search-cluster search --config deploy/runs/demo.toml --json
      search-cluster search --model org/name --task arc_easy --redis-url redis://cache:6380/0 --run runs/arc
    """
)
def search(
    config: ConfigOption = None,
    model: Annotated[
        str | None, typer.Option(help="demo, a hub id, a folder or a .gguf file.", show_default=DEFAULTS.model)
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="A task (see 'tasks'), a .py or a .toml file.", show_default=DEFAULTS.task)
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.", show_default=DEFAULTS.split)] = None,
    limit: Annotated[int | None, typer.Option(help="Examples at most, drawn by the seed.", show_default="all")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Named search: moves, limits, score.", show_default="credible")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(help="Paths per example at most, identity included.", show_default="the preset's")
    ] = None,
    leaves_per_round: Annotated[
        int | None, typer.Option(help="Paths of one example proposed together.", show_default="the preset's")
    ] = None,
    visit_total: Annotated[
        str | None, typer.Option(help="V of the UCB score: parent or all.", show_default="the preset's")
    ] = None,
    exploration: Annotated[float | None, typer.Option(help="c of the UCB score.", show_default="the preset's")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the sample and the search.", show_default=str(DEFAULTS.seed))
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder; the same command resumes it.", show_default=str(DEFAULTS.run)),
    ] = None,
    ray: RayOption = None,
    redis_url: RedisOption = None,
    workers: WorkersOption = None,
    coordinators: Annotated[
        int | None, typer.Option(help="Processes that drive the workers.", show_default="one per 16 workers")
    ] = None,
    threads_per_worker: ThreadsOption = None,
    device: DeviceOption = None,
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16 or float16.", show_default=DEFAULTS.dtype)
    ] = None,
    revision: RevisionOption = None,
    trust_remote_code: RemoteCodeOption = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Local benchmark files.", show_default="LPS_DATA_DIR, else the hub")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Search layer paths for the examples of a task and write the corpus; running it again resumes."""
    with one_line_errors():
        from search_cluster.commands.search import run_search  # the rooms: a second

        flags = {
            "model": model, "task": task, "split": split, "limit": limit, "preset": preset, "budget": budget,
            "leaves_per_round": leaves_per_round, "visit_total": visit_total, "exploration": exploration,
            "seed": seed, "run": run, "ray": ray, "redis_url": redis_url, "workers": workers,
            "coordinators": coordinators, "threads_per_worker": threads_per_worker, "device": device, "dtype": dtype,
            "revision": revision, "trust_remote_code": trust_remote_code, "data_dir": data_dir,
        }  # fmt: skip
        settings = (DEFAULTS if config is None else read_config(config)).overridden(flags)
        result = run_search(settings)
        if json_output:
            print_json(result)
        else:
            _print_run(settings.run, with_notes=False)
            if result["verdicts_waiting"]:
                print(f"verdicts that the cache server did not take yet: {result['verdicts_waiting']}")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="""\b
    Example:
      search-cluster submit --address http://head:8265 --config deploy/runs/demo.toml --run /mnt/shared/runs/demo
    """,
)
def submit(
    context: typer.Context,
    address: Annotated[
        str, typer.Option(help="The cluster's job server: its dashboard.", envvar="RAY_API_SERVER_ADDRESS")
    ],
    config: Annotated[Path | None, typer.Option(help="TOML file with settings; flags win over it.")] = None,
    working_dir: Annotated[Path, typer.Option(help="Copied to the cluster; the search starts in it.")] = Path(),
    wait: Annotated[bool, typer.Option(help="Show the job's log and wait for its end.")] = True,
    json_output: JsonOption = False,
) -> None:
    """Run a search as a job of a running Ray cluster. All flags of 'search' may follow; --run is absolute.

    Ctrl-C leaves the job running and says how to follow or stop it. The exit code is the search's.
    """
    with one_line_errors():
        from search_cluster.commands.submit import plan_search, submit_search

        values = _flags_of_search(context)
        planned = plan_search(config, context.args, values, working_dir=working_dir)
        result = submit_search(planned, address=address, wait=wait)
        if json_output:
            print_json(result)
    raise typer.Exit(result["exit_code"])


def _flags_of_search(context: typer.Context) -> dict[str, Any]:
    """What is left of the command line, as 'search' would parse it: only what is written there, no default."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    parsed = group.commands["search"].make_context("search", list(context.args))
    sources = {name: parsed.get_parameter_source(name) for name in parsed.params}
    written = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return {item.name: parsed.params[item.name] for item in fields(SearchConfig) if item.name in written}


@app.command(epilog="Example: search-cluster status runs/demo --json")
def status(run: RunArgument, json_output: JsonOption = False) -> None:
    """Say how far a search is and what it found; works while it runs, too."""
    with one_line_errors():
        from search_cluster.commands.report import describe_status

        values = describe_status(run)
        if json_output:
            print_json(values)
        else:
            for key, value in values.items():
                if value is not None:
                    print(f"{key}: {round(value, 3) if isinstance(value, float) else value}")


@app.command(epilog="Example: search-cluster report runs/demo --out report.html")
def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="HTML file.", show_default="DIR/report.html")] = None,
    json_output: JsonOption = False,
) -> None:
    """Write the HTML report of a finished search and of the routers evaluated on it, and print the summary table.

    What 'bench search --json' printed is drawn, too, if it lies in DIR/benches/*.json.
    """
    with one_line_errors():
        from search_cluster.commands.report import write_run_report

        target = write_run_report(run, out)
        if json_output:
            print_json({"report": str(target)})
        else:
            _print_run(run, with_notes=True)
            print(f"report: {target}")


@app.command(epilog="Example: search-cluster export runs/demo --format polar --out merged_mcts_samples.json")
def export(
    run: RunArgument,
    format_: Annotated[ExportFormat, typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option(help="File to write; replaced whole.")],
    json_output: JsonOption = False,
) -> None:
    """Write a finished corpus in another format.

    polar: PoLar's merged_mcts_samples.json. decisions: Dr.LLM's decision vectors, JSONL. parquet: one flat file, a row
    per evaluated path. Where the preset asks for evidence, polar and decisions give only credible paths as right ones,
    and the flat file marks them.
    """
    with one_line_errors():
        from search_cluster.corpus.export import export_decisions, export_parquet, export_polar
        from search_cluster.corpus.reader import read_corpus

        exporters = {
            ExportFormat.POLAR: export_polar,
            ExportFormat.DECISIONS: export_decisions,
            ExportFormat.PARQUET: export_parquet,
        }
        num_rows = exporters[format_](read_corpus(run), out)
        if json_output:
            print_json({"format": format_.value, "out": str(out), "rows": num_rows})
        else:
            print(f"{num_rows} rows written to {out}")


@app.command(epilog="Example: search-cluster crossexec runs/demo --menu 16 --json")
def crossexec(
    run: RunArgument,
    menu: Annotated[int, typer.Option(min=1, help="Paths on the menu at most, identity included.")],
    path: Annotated[
        list[str] | None, typer.Option(help="A path to run besides, such as 0-15,17-29; may be given again.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Examples at most, drawn by the seed.", show_default="all")] = None,
    config: ConfigOption = None,
    model: Annotated[
        str | None, typer.Option(help="Where the model is now.", show_default="where the corpus says")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task's file, if its name alone does not find it.")] = None,
    ray: RayOption = None,
    redis_url: RedisOption = None,
    workers: WorkersOption = None,
    threads_per_worker: ThreadsOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
    trust_remote_code: RemoteCodeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Pick globally useful paths of a finished corpus, run each on every example, and write DIR/menu.parquet."""
    with one_line_errors():
        from rich.console import Console

        from search_cluster.commands.crossexec import cross_execute
        from search_cluster.report.path_table import print_path_table

        flags = {
            "run": run, "limit": limit, "ray": ray, "redis_url": redis_url, "workers": workers, "device": device,
            "threads_per_worker": threads_per_worker, "revision": revision, "trust_remote_code": trust_remote_code,
        }  # fmt: skip
        file = {} if config is None else read_settings(config)
        result = cross_execute(
            SearchConfig(**file).overridden(flags),
            menu_size=menu,
            extra_paths=path or (),
            model=model or file.get("model"),
            task=task or file.get("task"),
        )
        if json_output:
            print_json(result)
        else:
            print_path_table(Console(), result)


@app.command(epilog="Example: search-cluster tasks --json")
def tasks(json_output: JsonOption = False) -> None:
    """List the tasks: what they ask and how answers are graded."""
    with one_line_errors():
        from search_cluster.tasks.registry import list_tasks

        rows = [
            {"name": task.name, "kind": task.kind.value, "version": task.version, "description": task.description}
            for task in list_tasks()
        ]
        if json_output:
            print_json({"tasks": rows})
        else:
            for row in rows:
                print(f"{row['name']:<22} {row['kind']:<9} {row['description']}")


@app.command(epilog="Example: search-cluster doctor")
def doctor(json_output: JsonOption = False) -> None:
    """Check packages, devices, the cache server and the demo model, and say what to do about what fails."""
    with one_line_errors():
        from search_cluster.commands.doctor import run_checks

        checks = run_checks()
        if json_output:
            print_json({"checks": checks, "ok": all(check["ok"] for check in checks)})
        else:
            for check in checks:
                print(f"{'ok     ' if check['ok'] else 'missing'} {check['name']:<14} {check['detail']}")
                if check["advice"]:
                    print(f"        {'':<14} -> {check['advice']}")


@app.command(epilog="Example: search-cluster verify runs/demo --sample 200 --json")
def verify(
    run: RunArgument,
    sample: Annotated[int, typer.Option(min=1, help="Verdicts to re-execute, one at a time.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="Where the model is now.", show_default="where the corpus says")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task's file, if its name alone does not find it.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = DEFAULTS.device,
    revision: RevisionOption = None,
    trust_remote_code: RemoteCodeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check a corpus' verdicts against the materialised model; exit code 1 if one differs."""
    with one_line_errors():
        from search_cluster.commands.verify import verify_corpus

        result = verify_corpus(
            run,
            sample=sample,
            seed=seed,
            model=model,
            task=task,
            device=device,
            revision=revision,
            trust_remote_code=bool(trust_remote_code),
        )
        if json_output:
            print_json(result)
        else:
            for key, value in result.items():
                print(f"{key}: {value}")
        if result["verdict_flips"]:
            raise typer.Exit(1)


@app.command(epilog="Example: search-cluster dashboard runs/demo")
def dashboard(
    run: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Run folder of a search.")] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            help="Also, or instead: a shared cache server, read only; a password is safer in the variable.",
            envvar="LPS_REDIS_URL",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. Whoever reaches it can read all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8797,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a live page about a search: throughput, progress, costs, paths, and the search tree of each example."""
    with one_line_errors():
        from search_cluster.dashboard.serve import serve_dashboard

        shown = [str(run)] if run is not None else []
        shown += ["the cache server"] if redis_url is not None else []
        serve_dashboard(
            run,
            redis_url,
            host=host,
            port=port,
            open_browser=open_,
            announce=lambda url: print(f"dashboard of {' and '.join(shown)}: {url} (Ctrl-C ends it)", flush=True),
        )


@app.command(epilog="Example: search-cluster top runs/demo")
def top(
    run: RunArgument,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object and end.")] = False,
) -> None:
    """Show a running search in the terminal: progress, rates, cache hits, failures, time left."""
    with one_line_errors():
        from rich.console import Console

        from search_cluster.dashboard.overview import describe_run
        from search_cluster.dashboard.run_folder import RunFolder
        from search_cluster.dashboard.terminal import render_run, watch_run

        folder = RunFolder(run)
        if json_output:
            print_json({name: value for name, value in describe_run(folder).items() if name != "history"})
        elif once:
            Console().print(render_run(describe_run(folder)))
        else:
            watch_run(folder, Console(), interval_s=interval)


bench = typer.Typer(help="Measure on this machine; speeds are stated as ratios of one run.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command(epilog="Example: search-cluster bench engine --task arc_easy --num-examples 24 --num-paths 60 --json")
def engine(
    model: Annotated[str, typer.Option(help="demo, a hub id, a folder or a .gguf file.")] = DEFAULTS.model,
    task: Annotated[str, typer.Option(help="A task; its test split is used.")] = DEFAULTS.task,
    num_examples: Annotated[int, typer.Option(min=1, help="Questions.")] = 24,
    num_paths: Annotated[int, typer.Option(min=1, help="Paths of one real search; each runs on each question.")] = 60,
    num_verdicts: Annotated[int, typer.Option(min=1, help="Verdicts compared with the materialised model's.")] = 240,
    sample: Annotated[int, typer.Option(min=1, help="Pairs on which the slow ways are timed.")] = 96,
    batch: Annotated[int, typer.Option(min=1, help="Pairs per call of the engine.")] = 256,
    state_bytes: Annotated[int, typer.Option(min=1, help="What the engine may keep of path prefixes.")] = 2**30,
    seed: Annotated[int, typer.Option(help="Of questions, paths and samples.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = DEFAULTS.device,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = DEFAULTS.dtype,
    data_dir: Annotated[
        Path | None, typer.Option(help="Local benchmark files.", show_default="LPS_DATA_DIR, else the hub")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Compare the engine with evaluating one path at a time, and one path for all questions at a time."""
    with one_line_errors(NOTHING_KEPT):
        from search_cluster.bench.engine import EngineBenchConfig, bench_engine

        result = bench_engine(
            EngineBenchConfig(
                model=model,
                task=task,
                data_dir=data_dir,
                num_examples=num_examples,
                num_paths=num_paths,
                num_verdicts=num_verdicts,
                sample=sample,
                batch=batch,
                state_bytes=state_bytes,
                seed=seed,
                device=device,
                dtype=dtype,
            ),
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        if json_output:
            print_json(result)
        else:
            for key, value in result.items():
                print(f"{key}: {value}")


@bench.command(
    name="search",
    epilog="Example: search-cluster bench search --task capitals --num-examples 40 --budgets 25,50 --json",
)
def bench_search_command(
    model: Annotated[str, typer.Option(help="demo, a hub id, a folder or a .gguf file.")] = DEFAULTS.model,
    task: Annotated[str, typer.Option(help="A task; train is searched, test judges.")] = DEFAULTS.task,
    num_examples: Annotated[int, typer.Option(min=1, help="Questions that are searched.")] = 100,
    budgets: Annotated[str, typer.Option(help="Paths per question, comma-separated.")] = "10,25,50,100",
    presets: Annotated[str, typer.Option(help="Presets, comma-separated.")] = "chain,random,drllm,polar,credible",
    num_fresh: Annotated[int, typer.Option(min=1, help="Fresh perturbations per question.")] = 10,
    num_probes: Annotated[int, typer.Option(min=1, help="Fresh other questions.")] = 200,
    workers: Annotated[int, typer.Option(min=1, help="Evaluators, a thread each.")] = 2,
    state_bytes: Annotated[int, typer.Option(min=1, help="What each engine may keep of path prefixes.")] = 2**30,
    seed: Annotated[int, typer.Option(help="Of questions and searches.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = DEFAULTS.device,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = DEFAULTS.dtype,
    data_dir: Annotated[
        Path | None, typer.Option(help="Local benchmark files.", show_default="LPS_DATA_DIR, else the hub")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps verdicts: interrupted, it goes on.", show_default="kept nowhere"),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Compare presets: layers saved and answers fixed per budget, and how much of it holds on fresh evidence."""
    with one_line_errors(f"{NOTHING_KEPT} without --run FOLDER" if run is None else VERDICTS_KEPT):
        from search_cluster.bench.presets import SearchBenchConfig, bench_search

        result = bench_search(
            SearchBenchConfig(
                model=model,
                task=task,
                data_dir=data_dir,
                num_examples=num_examples,
                budgets=tuple(_positive_int(text, "--budgets") for text in budgets.split(",")),
                presets=tuple(name.strip() for name in presets.split(",")),
                num_fresh=num_fresh,
                num_probes=num_probes,
                workers=workers,
                state_bytes=state_bytes,
                seed=seed,
                device=device,
                dtype=dtype,
                run=run,
            ),
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        if json_output:
            print_json(result)
        else:
            for preset, cells in result["results"].items():
                for budget, cell in cells.items():
                    print(f"{preset} {budget}: {json.dumps(cell)}")


@bench.command(epilog="Example: search-cluster bench scaling --workers 1,8 --seconds 5 --no-real --json")
def scaling(
    workers: Annotated[str, typer.Option(help="Numbers of scripted evaluators, comma-separated.")] = "1,8,64,256",
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each measurement.")] = 15.0,
    real: Annotated[bool, typer.Option("--real/--no-real", help="Measure one and two CPU evaluators, too.")] = True,
    model: Annotated[str, typer.Option(help="Of the CPU evaluators.")] = DEFAULTS.model,
    requests_per_batch: Annotated[int, typer.Option(min=1, help="Sent to a scripted evaluator together.")] = 64,
    json_output: JsonOption = False,
) -> None:
    """Measure whether devices stay busy: real ones, and many that wait on a clock, on a Ray of several nodes."""
    with one_line_errors(NOTHING_KEPT):
        from search_cluster.bench.scaling import ScalingBenchConfig, bench_scaling

        counts = tuple(_positive_int(text, "--workers") for text in workers.split(","))
        result = bench_scaling(
            ScalingBenchConfig(
                workers=counts, seconds=seconds, real=real, model=model, requests_per_batch=requests_per_batch
            ),
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        if json_output:
            print_json(result)
        else:
            for key, value in result.items():
                print(f"{key}: {value}")


def _positive_int(text: str, flag: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ConfigError(f"{flag} has the part {text!r}; its parts are whole numbers from 1")
    return int(text)


def _print_run(run: Path, *, with_notes: bool) -> None:
    from search_cluster.commands.report import print_run

    print_run(run, with_notes=with_notes)


if __name__ == "__main__":
    main()
