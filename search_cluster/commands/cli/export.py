"""``search-cluster export``: a finished corpus in another format."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import print_json
from search_cluster.options.commands import command
from search_cluster.options.groups import CorpusArgument, JsonOption


class ExportFormat(StrEnum):
    """What ``export`` writes."""

    POLAR = "polar"
    DECISIONS = "decisions"
    PARQUET = "parquet"


@command(
    epilog="Example: search-cluster export runs/mine --format polar --out merged_mcts_samples.json"
)
def export(
    run: CorpusArgument,
    format_: Annotated[ExportFormat, typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option(help="File to write; replaced whole.")],
    json_output: JsonOption = False,
) -> None:
    """Write a finished corpus in another format.

    polar: PoLar's merged_mcts_samples.json. decisions: Dr.LLM's decision vectors, JSONL. parquet:
    one flat file, a row per evaluated path. Where the preset asks for evidence, polar and decisions
    give only credible paths as right ones, and the flat file marks them.
    """
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
