"""The card of a scan on the hub."""

from shlex import join

from search_cluster.hub.card import (
    Card,
    hub_id_of,
    model_facts,
    model_title,
    model_word,
    prompts_text,
    versions_text,
)
from search_cluster.paths.codec import parse_path
from search_cluster.paths.words import EDIT_WORDS
from search_cluster.report.scan.verdict import verdict_line
from search_cluster.report.scan.words import edits_text, gain_text, layers_text
from search_cluster.scan.result import Finalist, ScanResult
from search_cluster.scan.settings import Family
from search_cluster.scan.specs.evidence import evidence_table


def scan_card(result: ScanResult, location: str) -> Card:
    """What the card says, from the scan's own files; ``location``: how it is named."""
    title = model_title(result.model)
    tasks = " and ".join(result.tasks)
    best = "" if result.sure else " --best"
    return Card(
        title=f"The best one path of {title} for {tasks}",
        what=f"{verdict_line(result)}\n\nA scan of layer paths of {title}, a frozen language model "
        f"of {result.num_layers} layers: every path that was tried, on every question that it was "
        f"asked. {EDIT_WORDS}",
        use=(
            f"search-cluster report {location}",
            f"search-cluster scan export {location}{best} --format layers",
            f"router-train static {location}{best} --out routers/static",
        ),
        measured="\n\n".join([_judged(result), *_finalists(result)]),
        how={
            "command": f"`{_command(result)}`",
            "model": model_facts(result.model, result.model_fingerprint, result.dtype),
            "prompts": prompts_text(result.chat),
            "compared": f"{result.num_candidates} paths, {result.verdicts} verdicts",
            "looks at test in this folder": str(result.test_uses),
            "cut short by": result.stopped_by,
            "seed": str(result.seed),
            "versions": versions_text(result.versions),
            "scan digest": f"`{result.digest}`",
        },
        rights="Verdicts and paths are outputs of the model named above; its licence applies to "
        "them.",
        data={
            "base_model": hub_id_of(result.model),
            "configs": [{"config_name": "default", "data_files": "scan.parquet"}],
        },
    )


def _judged(result: ScanResult) -> str:
    """What is known of the path that is reported, else of the first finalist."""
    finalists = [item.summary.path for item in result.finalists]
    path = result.chosen if result.sure else next(iter(finalists), None)
    if path is None:
        return f"{verdict_line(result)} No path was worth a look at validation."
    return f"Path `{path}`:\n\n{evidence_table(result, parse_path(path, result.num_layers))}"


def _finalists(result: ScanResult) -> list[str]:
    """All finalists, in the order of validation."""
    if len(result.finalists) < 2:
        return []
    lines = [
        "All finalists, in the order that train and validation gave them; gains in points with "
        "95 % intervals.",
        "",
        "| path | layers | validation | test |",
        "|---|---:|---|---|",
        *(_finalist(item, result.num_layers) for item in result.finalists),
    ]
    return ["\n".join(lines)]


def _finalist(item: Finalist, num_layers: int) -> str:
    looks = (
        "not asked" if one is None else f"{gain_text(one)} questions"
        for one in (item.validation, item.test)
    )
    layers = layers_text(item.summary.layers, num_layers)
    return f"| {edits_text(item.summary)} | {layers} | {' | '.join(looks)} |"


def _command(result: ScanResult) -> str:
    """The settings on record as a command; files that lie elsewhere have a word for their names."""
    words = ["search-cluster", "scan", "--model", model_word(result.model)]
    for flag, values in (("--task", result.tasks), ("--guard", result.guards)):
        for value in values:
            words += [flag, value]
    words += ["--aim", result.aim, "--families", ",".join(result.families)]
    if Family.LIST in result.families:
        words += ["--paths", "PATHS"]
    if result.depth_prior:
        words += ["--depth-prior", "STUDY"]
    for flag, setting in (
        ("--max-block", result.max_block),
        ("--passes", result.passes),
        ("--grow", result.grow),
        ("--seed", result.seed),
        ("--limit", result.limit),
        ("--budget", result.budget),
        ("--minutes", result.minutes),
        ("--chat", result.chat or None),
    ):
        words += [] if setting is None else [flag, str(setting)]
    return join([*words, "--dtype", result.dtype])
