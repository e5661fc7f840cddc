"""The command group ``search-cluster bench``."""

import json

from search_cluster.bench.config import EngineBenchConfig, ScalingBenchConfig, SearchBenchConfig
from search_cluster.bench.scan.cli import scan
from search_cluster.console import (
    NOTHING_KEPT,
    VERDICTS_KEPT,
    one_line_errors,
    print_json,
    print_values,
    say,
)
from search_cluster.options.commands import command, new_app
from search_cluster.options.groups import JsonOption


@command(
    epilog="Example: search-cluster bench engine --task arc_easy --num-examples 24 --num-paths 60 "
    "--json",
    interrupted=NOTHING_KEPT,
)
def engine(config: EngineBenchConfig, json_output: JsonOption = False) -> None:
    """Compare the engine with one path at a time, and with one path for all questions at a time."""
    from search_cluster.bench.engine import bench_engine

    print_values(bench_engine(config, say), json_output=json_output)


@command(
    epilog="Example: search-cluster bench search --task capitals --num-examples 40 "
    "--budgets 25,50 --json"
)
def search(config: SearchBenchConfig, json_output: JsonOption = False) -> None:
    """Compare presets: layers saved and answers fixed per budget; what holds on fresh evidence."""
    nothing_kept = f"{NOTHING_KEPT} without --run FOLDER"
    with one_line_errors(nothing_kept if config.run is None else VERDICTS_KEPT):
        from search_cluster.bench.presets import bench_search

        result = bench_search(config, say)
    if json_output:
        print_json(result)
    else:
        for preset, cells in result["results"].items():
            for budget, cell in cells.items():
                print(f"{preset} {budget}: {json.dumps(cell)}")


@command(
    epilog="Example: search-cluster bench scaling --workers 1,8 --seconds 5 --no-real --json",
    interrupted=NOTHING_KEPT,
)
def scaling(config: ScalingBenchConfig, json_output: JsonOption = False) -> None:
    """Measure whether devices stay busy: real ones, and many scripted ones on several nodes."""
    from search_cluster.bench.scaling import bench_scaling

    print_values(bench_scaling(config, say), json_output=json_output)


bench = new_app(
    "Measure on this machine; speeds are stated as ratios of one run.", engine, search, scaling
)
bench.add_typer(scan, name="scan")
