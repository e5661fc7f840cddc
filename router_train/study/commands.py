"""``router-train study``: keep a corpus, run the study, check its best routers.

What it says goes to standard error.
"""

from collections.abc import Collection, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from router_train.study.choice import read_chosen, write_chosen
from router_train.study.document import (
    choice_line,
    command_lines,
    corpus_line,
    elsewhere_lines,
    fill,
    table_lines,
)
from router_train.study.experiments import Experiment
from router_train.study.files import StudyFiles
from router_train.study.result import Figures, Result
from router_train.study.runner import RestoredCorpus, StudyRunner, Terms
from router_train.study.selection import choose
from router_train.study.textless import keep_corpus
from search_cluster.console import print_json, say
from search_cluster.errors import ConfigError

CHECK_KEYS = (
    "n", "accuracy_plain", "accuracy_routed", "diff_low", "diff_high", "layers_saved_share",
    "p_value",
)  # fmt: skip
"""What the check says of a task."""


Rows = dict[str, list[tuple[Experiment, Result]]]
"""Per kept corpus its finished rows, in the plan's order."""


def run_keep(corpus: Path, kept: Path, name: str, *, json_output: bool = False) -> None:
    """Do ``study keep``: keep a corpus without its texts, and say how large it is."""
    target = keep_corpus(corpus, kept / name)
    size_bytes = sum(file.stat().st_size for file in target.iterdir())
    if json_output:
        print_json({"kept": str(target), "bytes": size_bytes})
    else:
        say(f"{target}: {size_bytes / 1e6:.2f} MB")


def run_study(
    runner: StudyRunner, files: StudyFiles, *, only: str, limit: int | None, json_output: bool
) -> None:
    """Do ``study run``: every row that is not finished yet, then the tables and the choice.

    With ``only`` or ``limit`` nothing is chosen and no document is written: that is what whole rows
    are for. Nor is it written where a corpus was left out, so that no row of it is lost.
    """
    terms = Terms(splits=("validation", "test"), limit=limit)
    rows: Rows = {}
    restored = _restore(runner)
    for name, corpus in restored.items():
        wanted = [item for item in corpus.plan() if fnmatch(item.full_name, only)]
        for number, experiment in enumerate(wanted, start=1):
            result = runner.result(corpus, experiment, terms)
            say(
                f"{experiment.full_name} ({number} of {len(wanted)}): "
                f"{_words(result.figures['test'])}"
            )
            rows.setdefault(name, []).append((experiment, result))
    if not rows:
        raise ConfigError(
            f"the study has no row that matches {only!r}; see the folders of its kept corpora"
        )
    if only == "*" and limit is None:
        _publish(runner, files, restored, rows, elsewhere=True)
    if json_output:
        print_json(
            {result.full_name: _values(result) for found in rows.values() for _, result in found}
        )


def run_write(
    runner: StudyRunner, files: StudyFiles, *, elsewhere: bool, json_output: bool = False
) -> None:
    """Do ``study write``: tables and choice of the rows that are finished."""
    terms = Terms(splits=("validation", "test"))
    restored = _restore(runner)
    rows: Rows = {}
    for name, corpus in restored.items():
        for experiment in corpus.plan():
            result = runner.finished(corpus, experiment, terms)
            if result is not None:
                rows.setdefault(name, []).append((experiment, result))
    if not rows:
        raise ConfigError(
            "no row of the study is finished in that folder; run some of it: router-train study run"
        )
    best = _publish(runner, files, restored, rows, elsewhere=elsewhere)
    if json_output:
        print_json(
            {
                "chosen": str(files.chosen),
                "rows": {name: len(found) for name, found in rows.items()},
                "best": {name: row and row.full_name for name, row in best.items()},
            }
        )


def _restore(
    runner: StudyRunner, names: Collection[str] | None = None
) -> dict[str, RestoredCorpus]:
    """Restore the kept corpora whose texts are at hand; with ``names``, only these."""
    if not runner.corpus_names:
        raise ConfigError(
            f"no corpus is kept in {runner.kept}; name their folder in a checkout with --kept (a "
            "wheel has none), or keep one: router-train study keep RUN --name NAME --kept "
            f"{runner.kept}"
        )
    restored: dict[str, RestoredCorpus] = {}
    for name in runner.corpus_names:
        if names is not None and name not in names:
            continue
        if why_not := runner.why_not(name):
            say(why_not)
        else:
            restored[name] = runner.restore(name)
    return restored


def _publish(
    runner: StudyRunner,
    files: StudyFiles,
    restored: dict[str, RestoredCorpus],
    rows: Rows,
    *,
    elsewhere: bool,
) -> dict[str, Result | None]:
    """Choose, judge the chosen routers elsewhere, and write both down; the choice by corpus."""
    best = {name: choose([result for _, result in found]) for name, found in rows.items()}
    others = _elsewhere(runner, restored, rows, best) if elsewhere else []
    write_chosen(
        {name: row.inputs.name for name, row in best.items() if row is not None}, files.chosen
    )
    say(f"choices written to {files.chosen}")
    if rows.keys() == set(runner.corpus_names):
        fill(files.document, _parts(runner, restored, rows, best, others))
        say(f"tables written to {files.document}")
    else:
        say(f"{files.document} stays as it is, because a corpus was left out")
    return best


def run_check(
    runner: StudyRunner, chosen_file: Path, *, limit: int | None, json_output: bool = False
) -> None:
    """Do ``study check``: train the chosen routers, judge them on the test split."""
    chosen = read_chosen(chosen_file)
    found: dict[str, dict[str, Any]] = {}
    for name, restored in _restore(runner, chosen).items():
        experiment = next((item for item in restored.plan() if item.name == chosen[name]), None)
        if experiment is None:
            raise ConfigError(
                f"{chosen_file} names {name}/{chosen[name]}, which the study lacks; run the study "
                "again"
            )
        result = runner.result(restored, experiment, Terms(splits=("test",), limit=limit))
        say(f"{experiment.full_name}: {_words(result.figures['test'])}")
        figures = result.figures["test"]
        found[restored.task.name] = {key: getattr(figures, key) for key in CHECK_KEYS}
    if not found:
        raise ConfigError(
            f"{chosen_file} names no router of a corpus that can be restored here; run the study "
            "first"
        )
    if json_output:
        print_json(found)


def _parts(
    runner: StudyRunner,
    restored: dict[str, RestoredCorpus],
    rows: Rows,
    best: dict[str, Result | None],
    elsewhere: list[Result],
) -> dict[str, Sequence[str]]:
    tables: list[str] = []
    commands: list[Result] = []
    for name, found in rows.items():
        num_missing = len(restored[name].plan()) - len(found)
        missing = [
            "",
            f"{num_missing} more rows of {name} have not been run; `make study` runs them.",
        ]
        tables += [
            f"### {name}",
            "",
            *table_lines(found, best[name]),
            "",
            choice_line(name, best[name]),
        ]
        tables += [*(missing if num_missing else []), ""]
        commands += [result for _, result in found]
    commands += elsewhere
    parts: dict[str, Sequence[str]] = {
        "corpora": [
            corpus_line(
                name,
                corpus.manifest.provenance,
                num_examples=corpus.manifest.num_examples,
                num_paths=corpus.manifest.num_paths,
                size_bytes=runner.kept_bytes(name),
            )
            for name, corpus in restored.items()
        ],
        "tables": tables[:-1],
        "commands": command_lines(commands),
    }
    return parts | ({"elsewhere": elsewhere_lines(elsewhere)} if elsewhere else {})


def _elsewhere(
    runner: StudyRunner,
    restored: dict[str, RestoredCorpus],
    rows: Rows,
    best: dict[str, Result | None],
) -> list[Result]:
    """The chosen routers on other tasks, where these tasks' questions are at hand."""
    if not runner.has_data:
        say(
            "no router is judged out of domain: name a folder with the questions by --data-dir or "
            "LPS_DATA_DIR"
        )
        return []
    found = []
    for name, row in best.items():
        if row is not None:
            experiment = next(item for item, result in rows[name] if result is row)
            result = runner.result_elsewhere(restored[name], experiment, Terms(splits=()))
            for task, figures in result.figures.items():
                say(f"{row.full_name} on {task}: {_words(figures)}")
            found.append(result)
    return found


def _words(figures: Figures) -> str:
    interval = ""
    if figures.diff_low is not None and figures.diff_high is not None:
        interval = f" [{100 * figures.diff_low:+.1f}, {100 * figures.diff_high:+.1f}]"
    return (
        f"{100 * figures.accuracy_plain:.1f} to {100 * figures.accuracy_routed:.1f} % of "
        f"{figures.n} questions, {100 * figures.diff:+.1f} points{interval}, "
        f"{100 * figures.layers_saved_share:.1f} % of the layers saved"
    )


def _values(result: Result) -> dict[str, Any]:
    return {
        split: {key: getattr(figures, key) for key in CHECK_KEYS}
        for split, figures in result.figures.items()
    }
