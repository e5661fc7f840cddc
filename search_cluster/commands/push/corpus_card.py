"""The card of a corpus on the hub."""

from pathlib import Path
from shlex import join

from search_cluster.corpus.card import LUCK, columns_table
from search_cluster.corpus.manifest import Manifest, Provenance
from search_cluster.corpus.path_table import PATH_TABLE_NAME, read_path_table
from search_cluster.corpus.reader import Corpus
from search_cluster.corpus.summary import CorpusSummary, num_searched, summarise
from search_cluster.hub.card import (
    Card,
    hub_id_of,
    model_facts,
    model_title,
    model_word,
    prompts_text,
    versions_text,
)
from search_cluster.paths.words import path_words
from search_cluster.stats import wilson_interval


def corpus_card(folder: Path, corpus: Corpus, location: str) -> Card:
    """What the card says, from the corpus' own files; ``location``: how it is named."""
    manifest, provenance = corpus.manifest, corpus.manifest.provenance
    summary = summarise(corpus.records)
    title = model_title(provenance.model_spec)
    hub_id = hub_id_of(provenance.model_spec)
    return Card(
        title=f"Layer paths of {title} on {provenance.task}",
        what=f"{manifest.num_examples} questions of `{provenance.task}` ({provenance.split}) with "
        f"{manifest.num_paths} evaluated layer paths of {title}, a frozen language model of "
        f"{provenance.num_layers} layers. {path_words(provenance.num_layers)}",
        use=(
            f"search-cluster report {location}",
            f"router-train fit --corpus {location} --router drllm --out routers/drllm",
        ),
        measured="\n\n".join([_table(summary, manifest), *_menu(folder), LUCK]),
        how=_how(manifest, summary),
        rights="The texts of questions and answers belong to their sources and keep their "
        "licences. Verdicts and paths are outputs of the model named above; its licence applies to "
        "them.",
        more=f"## Columns\n\n{columns_table(provenance)}",
        data={
            "base_model": hub_id,
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": provenance.split, "path": "data/*.parquet"}],
                }
            ],
        },
    )


def _table(summary: CorpusSummary, manifest: Manifest) -> str:
    rows = [
        ("the plain model", *_share(summary.identity_accuracy, summary.identity_low,
                                    summary.identity_high)),
        ("the best path of each question, found with its gold answer at hand",
         *_share(summary.found_accuracy, summary.found_low, summary.found_high)),
    ]  # fmt: skip
    if summary.chance is not None:
        rows.append(("uniform guesses", f"{summary.chance:.1%}", ""))
    lines = [
        f"One verdict per question and path, on {summary.examples} questions of "
        f"`{manifest.provenance.split}`. The second row is a bound on what a choice could reach, "
        "and partly luck; it is no promise for other questions.",
        "",
        "| answers of | accuracy | 95 % interval (Wilson) |",
        "|---|---:|---:|",
        *(f"| {name} | {value} | {interval} |" for name, value, interval in rows),
    ]
    if summary.num_best_right:
        lines += [
            "",
            f"On the {summary.num_best_right} questions whose best path is right it has "
            f"{summary.mean_best_length:.2f} layers of {summary.num_layers} on average; on "
            f"{summary.improved} of them it is not the plain one.",
        ]
    return "\n".join(lines)


def _share(value: float, low: float, high: float) -> tuple[str, str]:
    return f"{value:.1%}", f"{low:.1%} to {high:.1%}"


def _menu(folder: Path) -> list[str]:
    """The table of a menu's paths, if there is one."""
    if not (folder / PATH_TABLE_NAME).is_file():
        return []
    table = read_path_table(folder)
    lines = [
        f"`{PATH_TABLE_NAME}` has the paths of a menu on these questions, which chose them and "
        "flatter them.",
        "",
        "| path | layers | questions | accuracy | 95 % interval (Wilson) |",
        "|---|---:|---:|---:|---:|",
    ]
    for place, path in enumerate(table.paths):
        known = [row.verdict for row in table.rows if row.path_index == place and row.verdict]
        if known:
            right = sum(verdict.is_correct for verdict in known)
            low, high = wilson_interval(right, len(known))
            lines.append(
                f"| {path} | {len(path)} | {len(known)} | {right / len(known):.1%} | {low:.1%} to "
                f"{high:.1%} |"
            )
    return ["\n".join(lines)]


def _how(manifest: Manifest, summary: CorpusSummary) -> dict[str, str]:
    provenance = manifest.provenance
    failures = f", {summary.failures} without a verdict" if summary.failures else ""
    return {
        "command": f"`{_command(provenance)}`",
        "model": model_facts(provenance.model_spec, provenance.model_fingerprint, provenance.dtype)
        + (f", {provenance.arithmetic}" if provenance.arithmetic else ""),
        "prompts": prompts_text(provenance.chat),
        "task": f"`{provenance.task}` version {provenance.task_version}, split "
        f"`{provenance.split}`"
        + (", which is used up as a test by this" if provenance.split == "test" else ""),
        "questions": "all of the split"
        if provenance.limit is None
        else f"at most {provenance.limit}, drawn by the seed",
        "compared": f"{num_searched(manifest.summary, summary)} paths searched{failures}",
        "evidence asked of best paths": provenance.evidence,
        "seed": str(provenance.seed),
        "versions": versions_text(provenance.versions),
        "written": provenance.created_at,
        "corpus digest": f"`{manifest.corpus_digest}`",
    }


def _command(provenance: Provenance) -> str:
    """The settings on record as a command."""
    words = ["search-cluster", "search", "--model", model_word(provenance.model_spec)]
    words += ["--task", provenance.task, "--split", provenance.split]
    words += ["--preset", provenance.preset, "--budget", str(provenance.budget)]
    words += ["--leaves-per-round", str(provenance.leaves_per_round)]
    words += ["--seed", str(provenance.seed), "--dtype", provenance.dtype]
    for flag, value in (
        ("--limit", provenance.limit),
        ("--visit-total", provenance.visit_total),
        ("--exploration", provenance.exploration),
        ("--chat", provenance.chat or None),
    ):
        words += [] if value is None else [flag, str(value)]
    return join(words)
