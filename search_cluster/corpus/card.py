"""The dataset card: README.md of a corpus folder, for people and for `datasets.load_dataset`."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from search_cluster.bridged_spec import model_name
from search_cluster.corpus.manifest import Manifest, Provenance

FIELDS = {
    "example_id": "hash of task, question, choices and gold answer; equal content has an equal id",
    "task, split, source, difficulty": "where the question comes from",
    "question, choices, gold, gold_index": "what was asked, and the right answer",
    "identity": "the plain model's verdict; null if it could not be computed",
    "evaluated_paths": (
        "every path that was tried, in the order in which it was proposed: lists of layer indices"
    ),
    "evaluated_rewards": "per path 1 for a right answer, 0 for a wrong one (or something between)",
    "evaluated_margins": (
        "log-probability gap of the right answer to the best wrong one, in nats; null where a "
        "task has none. Carries arithmetic noise: compare within 1e-3. Not part of the digest"
    ),
    "evaluated_outputs": "what the model answered",
    "evaluated_num_layer_tokens": (
        "(layer, token) applications that a plain evaluation of the path needs"
    ),
    "failures": "paths without a verdict, and why",
    "best": "the best paths, best first, with their verdicts; empty where no path was right",
    "pareto": "the Pareto front of (reward up, length down), shortest first",
    "stop_reason": "why the search of this question ended",
}
"""What each column of a shard holds."""
GUARDED_FIELDS = {
    "best": (
        "the credible paths, best first, with their verdicts: right here, and on the evidence "
        "that the preset asks for; the plain model's path alone where there is none and it is "
        "right; empty where it is wrong, too"
    ),
    "pareto": f"{FIELDS['pareto']}; of all tried paths, credible or not",
    "evidence": (
        "what was found for and against each path that was examined: how often it and the plain "
        "model (`identity`) were right on perturbations of the question that may steer the "
        "search (`guide`), on reserved ones (`verify`) and on other questions (`probe`: chosen "
        "from `num_screened`, of which guesses would answer the share `probe_chance`), and "
        "whether that makes it `credible`"
    ),
    "unguarded": (
        "what `best` would be if nothing but the verdict on the question counted: partly luck"
    ),
}
"""The columns that are there, or mean something else, where the preset asked for evidence."""

LUCK = (
    "A verdict says that a path was right *once*. On a question with four choices a ruined model "
    "is right one time in four, so among many tried paths some are right by luck. Treat the "
    "shortest right path of a single question as a candidate, not as a fact about the model, and "
    "measure whatever learns from this corpus on questions that it has not seen."
)
UNGUARDED_BEST = (
    "Preset `{preset}` asks for no evidence beside the verdict, so `best` is partly luck."
)
GUARDED_BEST = (
    "Preset `{preset}` asks for evidence (`{evidence}`): a path is credible, and in `best`, only "
    "if it was right on perturbations of its question, too, as often as the plain model and at "
    "least once, and on other questions no rarer than `max_probe_drop` allows. The other columns "
    "hold what was tried, credible or not."
)


NO_PLAIN_PATH = re.compile(r"[*?\[\]{}!$\n]|::")
"""What `datasets` takes for a pattern, a variable or a chain of file systems in the path of a
folder: it then finds nothing, or other folders' files."""


def render_card(manifest: Manifest, folder: Path) -> str:
    """The Markdown text of the card.

    Its front matter makes `datasets` read the shards and nothing else.

    Args:
        manifest: the finished corpus.
        folder: where the card lies, which decides how the corpus can be read.
    """
    provenance = manifest.provenance
    best = GUARDED_BEST if provenance.evidence else UNGUARDED_BEST
    lines = [
        "---",
        "pretty_name: "
        f"{json.dumps(f'Layer paths of {model_name(provenance.model_spec)} on {provenance.task}')}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        f"  - split: {json.dumps(provenance.split)}",
        '    path: "data/*.parquet"',
        "---",
        "",
        f"# Layer paths of {model_name(provenance.model_spec)} on {provenance.task}",
        "",
        f"{manifest.num_examples} questions with {manifest.num_paths} evaluated layer paths. A "
        "layer path says which layers of the frozen model run, in which order; the plain model "
        f"runs 0 to {provenance.num_layers - 1}.",
        "",
        *_how_to_read(provenance, folder),
        "",
        "## Columns",
        "",
        columns_table(provenance),
        "",
        "## What the verdicts are worth",
        "",
        LUCK,
        "",
        best.format(preset=provenance.preset, evidence=provenance.evidence),
        "",
        "## Provenance",
        "",
        "| field | value |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in provenance_values(provenance)),
        f"| corpus digest | `{manifest.corpus_digest}` |",
        "",
        "The digest covers everything but margins: the same search gives the same digest, "
        "whatever the number of workers or the order of their answers.",
        "",
        "## Licence",
        "",
        "The texts of questions and answers belong to their sources and keep the licences of "
        "those. The verdicts and paths are outputs of the model named above; its licence applies "
        "to them.",
        "",
    ]
    return "\n".join(lines)


def _how_to_read(provenance: Provenance, folder: Path) -> list[str]:
    if not NO_PLAIN_PATH.search(str(folder.absolute())):
        return [
            "```python",
            "import datasets",
            f'corpus = datasets.load_dataset("path/to/this/folder", split="{provenance.split}")',
            "```",
        ]
    return [
        "The path of this folder has characters that `datasets` takes for a pattern: its loader "
        "would find nothing here, or the files of other folders. This reads the folder itself:",
        "",
        "```python",
        "import datasets",
        "import pyarrow.parquet",
        'corpus = datasets.Dataset(pyarrow.parquet.read_table("path/to/this/folder/data"))',
        "```",
    ]


def columns_table(provenance: Provenance) -> str:
    """What each column of a shard holds, as Markdown."""
    columns = FIELDS | GUARDED_FIELDS if provenance.evidence else FIELDS
    rows = (f"| `{name}` | {meaning} |" for name, meaning in columns.items())
    return "\n".join(["| column | meaning |", "|---|---|", *rows])


_UNSET = {"limit": "all", "visit_total": "the preset's", "exploration": "the preset's"}
"""What a field of the provenance stands for if nobody set it."""
NOT_SET = "not set"


def provenance_values(provenance: Provenance) -> list[tuple[str, str]]:
    """Everything that the records depend on: the fields, and what they say in words."""
    rows = [
        (item.name, _said(item.name, getattr(provenance, item.name)))
        for item in fields(Provenance)
        if item.name != "versions"
    ]
    return [
        *rows,
        *((f"version of {name}", version) for name, version in sorted(provenance.versions.items())),
    ]


def _said(name: str, value: object) -> str:
    if value is None:
        return _UNSET.get(name, NOT_SET)
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {part}" for key, part in value.items())
    elif isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return str(value) or NOT_SET


def _cell(value: str) -> str:
    return f"`{value}`".replace("|", "\\|").replace("\n", " ")
