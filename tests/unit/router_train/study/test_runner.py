"""The study on a tiny model: rows, resumption, documents, the check."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.router_corpus import fruit_example, record, tiny_loaded, write_corpus, write_table
from typer.testing import CliRunner

from router_train.cli import app
from router_train.study import runner as runner_module
from router_train.study.choice import read_chosen
from router_train.study.commands import CHECK_KEYS, StudyFiles, run_check, run_study, run_write
from router_train.study.document import fill
from router_train.study.experiments import plan
from router_train.study.runner import RestoredCorpus, StudyRunner, Terms
from router_train.study.textless import keep_corpus
from search_cluster.corpus import task as corpus_task
from search_cluster.errors import ConfigError
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.simple import SimpleTask, choice_task
from search_cluster.tasks.task import LoadedExamples

TRAIN = tuple(fruit_example(number) for number in range(24))
ASKED = {"validation": tuple(fruit_example(number, "validation") for number in range(1000, 1012))}
ASKED["test"] = tuple(fruit_example(number, "test") for number in range(2000, 2015))
SHORT = LayerPath((0, 1, 3, 4, 5), 6)
PATHS = (LayerPath.identity(6), SHORT, LayerPath((0, 1, 2, 5), 6))
WANTED = ("identity", "static-all", "oracle")
TEMPLATE = (
    "# Study\n<!-- begin corpora -->\nold\n<!-- end corpora -->\n<!-- begin tables -->\n<!-- end "
    "tables -->\n"
)
TEMPLATE += "<!-- begin elsewhere -->\n<!-- end elsewhere -->\n"
TEMPLATE += "words\n<!-- begin commands -->\n<!-- end commands -->\n"


def study_task() -> SimpleTask:
    return choice_task(
        name="fruit",
        description="fruit by number",
        source=lambda name, split, data_dir: LoadedExamples(
            examples={"train": TRAIN, **ASKED}[split]
        ),
        chat="{question}",
    )


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture
def study(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> tuple[StudyRunner, StudyFiles]:
    """A kept corpus on whose table the short path is always right, and the others now and then."""
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: study_task())
    monkeypatch.setattr(runner_module, "get_task", lambda spec: study_task())
    monkeypatch.setattr(runner_module, "load_model", lambda spec, **options: loaded)
    keep(tmp_path, num_right=24)
    (tmp_path / "STUDY.md").write_text(TEMPLATE)
    files = StudyFiles(document=tmp_path / "STUDY.md", chosen=tmp_path / "chosen.json")
    return StudyRunner(tmp_path / "out", kept=tmp_path / "kept"), files


def keep(folder: Path, *, num_right: int) -> None:
    corpus = folder / f"corpus-{num_right}"
    write_corpus(
        corpus, [record(example, (1, 1, 0, 1, 1, 1)) for example in TRAIN], task=study_task()
    )
    right = np.random.default_rng(0).random((24, 3)) < 0.4
    right[:num_right, 1] = True
    right[num_right:, 1] = False
    write_table(corpus, PATHS, right)
    keep_corpus(corpus, folder / "kept" / "fruit")


def run(study: tuple[StudyRunner, StudyFiles], only: str = "*") -> None:
    run_study(*study, only=only, limit=None, json_output=False)


def test_rows_are_what_a_plain_evaluation_says(
    study: tuple[StudyRunner, StudyFiles], loaded: LoadedModel
) -> None:
    runner, _ = study
    restored = runner.restore("fruit")
    rows = {item.name: item for item in restored.plan()}
    result = runner.result(restored, rows["static-all"], Terms(splits=("validation", "test")))
    for split, examples in ASKED.items():
        plain, short = (
            [evaluate_path(loaded, study_task(), example, path).is_correct for example in examples]
            for path in (PATHS[0], SHORT)
        )
        figures = result.figures[split]
        assert (figures.n, figures.accuracy_plain) == (len(examples), np.mean(plain))
        assert figures.accuracy_routed == np.mean(short)
        assert figures.layers_saved_share == pytest.approx(1 / 6)
    oracle = runner.result(restored, rows["oracle"], Terms(splits=("test",))).figures["test"]
    found = [
        [evaluate_path(loaded, study_task(), example, path).is_correct for path in PATHS]
        for example in ASKED["test"]
    ]
    assert oracle.accuracy_routed == np.mean([any(row) for row in found])
    assert oracle.p_value is None


def test_a_study_writes_tables_and_chooses_on_validation(
    study: tuple[StudyRunner, StudyFiles], capsys: pytest.CaptureFixture[str]
) -> None:
    runner, files = study
    run(study)
    text = files.document.read_text()
    assert "- `fruit`: 24 questions of `fruit` (train)" in text
    assert "old" not in text
    assert "words\n<!-- begin commands -->\n```sh\n" in text
    assert "| static-all | the table |" in text.replace("**", "")
    chosen = read_chosen(files.chosen)
    assert f"Chosen of fruit: `{chosen['fruit']}`" in text
    assert f"| **{chosen['fruit']}** |" in text
    capsys.readouterr()
    run_check(runner, files.chosen, limit=None, json_output=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() == {"fruit"}
    assert tuple(printed["fruit"]) == CHECK_KEYS
    assert printed["fruit"]["n"] == len(ASKED["test"])


def test_a_finished_row_is_not_done_again(
    study: tuple[StudyRunner, StudyFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    evaluate = PathExecutor.evaluate

    def counted(self: PathExecutor, requests: object) -> object:
        asked.append(len(requests))  # type: ignore[arg-type]
        return evaluate(self, requests)  # type: ignore[arg-type]

    monkeypatch.setattr(PathExecutor, "evaluate", counted)
    run(study, "fruit/static-all")
    assert sum(asked) == 2 * sum(map(len, ASKED.values()))
    run(study, "fruit/most-common*")  # the same path: nothing is left to compute
    run(study, "fruit/static-all")
    assert sum(asked) == 2 * sum(map(len, ASKED.values()))
    before = (tmp_path / "out" / "results" / "fruit" / "static-all.json").read_text()
    keep(tmp_path, num_right=2)
    run(study, "fruit/static-all")
    after = (tmp_path / "out" / "results" / "fruit" / "static-all.json").read_text()
    assert (
        json.loads(before)["inputs"]["table_digest"] != json.loads(after)["inputs"]["table_digest"]
    )
    assert json.loads(after)["figures"]["test"]["layers_saved_share"] == 0


def test_parts_of_a_study_leave_document_and_choice_alone(
    study: tuple[StudyRunner, StudyFiles],
) -> None:
    _, files = study
    run(study, "fruit/identity")
    assert files.document.read_text() == TEMPLATE
    assert not files.chosen.exists()
    with pytest.raises(ConfigError, match="no row that matches 'fruit/nothing'"):
        run(study, "fruit/nothing")


def test_what_is_finished_can_be_written_down(
    study: tuple[StudyRunner, StudyFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, files = study
    with pytest.raises(ConfigError, match="no row of the study is finished"):
        run_write(runner, files, elsewhere=False)
    run(study, "fruit/identity")
    run(study, "fruit/static-all")
    monkeypatch.setattr(PathExecutor, "evaluate", None)  # nothing is computed
    run_write(runner, files, elsewhere=False)
    text = files.document.read_text()
    assert read_chosen(files.chosen)["fruit"] in ("identity", "static-all")
    assert "| static-all | the table |" in text.replace("**", "")
    assert "| oracle |" not in text
    num_missing = len(runner.restore("fruit").plan()) - 2
    assert f"{num_missing} more rows of fruit have not been run; `make study` runs them." in text


def test_the_chosen_router_is_judged_elsewhere(
    study: tuple[StudyRunner, StudyFiles],
    tmp_path: Path,
    loaded: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tasks = {"fruit": study_task(), "other": replace(study_task(), name="other")}
    monkeypatch.setattr(runner_module, "get_task", lambda spec: tasks[spec])
    monkeypatch.setattr(
        runner_module, "ELSEWHERE", {"other": ("validation", "test"), "fruit": ("test",)}
    )
    _, files = study
    runner = StudyRunner(tmp_path / "out", kept=tmp_path / "kept", data_dir=tmp_path)
    restored = runner.restore("fruit")
    whole = plan("fruit", num_examples=24, table=True, evidence=False)
    monkeypatch.setattr(
        RestoredCorpus, "plan", lambda self: tuple(row for row in whole if row.name in WANTED)
    )
    run_study(runner, files, only="*", limit=None, json_output=False)
    chosen = read_chosen(files.chosen)["fruit"]
    rows = [
        line
        for line in files.document.read_text().splitlines()
        if line.startswith(f"| fruit/{chosen} |")
    ]
    assert len(rows) == 1
    assert rows[0].startswith(f"| fruit/{chosen} | other | 27 |")
    experiment = next(row for row in restored.plan() if row.name == "static-all")
    found = runner.result_elsewhere(restored, experiment, Terms(splits=())).figures
    asked = [*ASKED["validation"], *ASKED["test"]]
    right = [evaluate_path(loaded, tasks["other"], example, SHORT).is_correct for example in asked]
    assert found["other"].accuracy_routed == np.mean(right)


def test_a_corpus_that_is_left_out_keeps_its_rows(
    study: tuple[StudyRunner, StudyFiles],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runner, files = study
    keep_corpus(runner.kept.parent / "corpus-24", runner.kept / "away")
    monkeypatch.setattr(
        StudyRunner, "why_not", lambda self, name: "away is left out" if name == "away" else ""
    )
    whole = plan("fruit", num_examples=24, table=True, evidence=False)
    monkeypatch.setattr(
        RestoredCorpus, "plan", lambda self: tuple(row for row in whole if row.name in WANTED)
    )
    run(study)
    assert files.document.read_text() == TEMPLATE
    assert set(read_chosen(files.chosen)) == {"fruit"}
    assert "away is left out" in capsys.readouterr().err


def test_a_check_without_a_choice_says_what_to_do(study: tuple[StudyRunner, StudyFiles]) -> None:
    runner, files = study
    with pytest.raises(
        ConfigError, match="names no router of a corpus that can be restored here; run the study"
    ):
        run_check(runner, files.chosen, limit=None)
    files.chosen.write_text('{"fruit": "magic"}')
    with pytest.raises(ConfigError, match="names fruit/magic, which the study lacks"):
        run_check(runner, files.chosen, limit=None)
    files.chosen.write_text("[]")
    with pytest.raises(ConfigError, match="maps corpora to experiments"):
        run_check(runner, files.chosen, limit=None)


def test_without_a_kept_corpus_it_is_said_how_to_keep_one(tmp_path: Path) -> None:
    for command in ("run", "check"):
        done = CliRunner().invoke(
            app, ["study", command, "--out", str(tmp_path), "--kept", str(tmp_path / "none")]
        )
        assert (done.exit_code, done.stdout) == (2, "")
        assert (
            f"error: no corpus is kept in {tmp_path / 'none'}; name their folder in a checkout "
            "with --kept (a wheel has none), or keep one: router-train study keep RUN"
        ) in done.stderr


def test_a_limit_of_no_question_is_refused_at_once(tmp_path: Path) -> None:
    for command in ("run", "check"):
        done = CliRunner().invoke(app, ["study", command, "--out", str(tmp_path), "--limit", "0"])
        assert done.exit_code == 2
        assert "'--limit': Input should be greater than or equal to 1" in done.stderr


def test_a_document_without_its_comments_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "STUDY.md"
    document.write_text("<!-- end tables -->\n<!-- begin tables -->\n")
    with pytest.raises(
        ConfigError, match="has no part between <!-- begin tables --> and <!-- end tables -->"
    ):
        fill(document, {"tables": ["x"]})


def test_keep_and_its_mistakes_from_the_shell(tmp_path: Path) -> None:
    corpus = write_corpus(
        tmp_path / "c",
        [record(example, (1, 1, 0, 1, 1, 1)) for example in TRAIN],
        task=study_task(),
    )
    arguments = ["study", "keep", str(corpus), "--name", "fruit", "--kept", str(tmp_path / "kept")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "kept" / "fruit" / "records.parquet").is_file()
    done = CliRunner().invoke(
        app, ["study", "keep", str(tmp_path), "--name", "x", "--kept", str(tmp_path / "kept")]
    )
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path} has no manifest.json")
