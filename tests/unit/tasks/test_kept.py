"""What a run folder keeps of its tasks, and what it says when their files changed."""

import json
import logging
import shutil
from pathlib import Path

import pytest
from support.harness_files import RIVERS, write_harness_task

from search_cluster.corpus.task import task_of_corpus
from search_cluster.errors import TaskError
from search_cluster.tasks.kept import (
    copy_kept,
    keep_tasks,
    read_kept,
    spec_if_gone,
    spec_of_kept,
)
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.sources import kept_files
from search_cluster.tasks.task import SPLITS, Task

DATA = Path(__file__).parent / "data"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a user's own task files."""
    folder = tmp_path / "own"
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "rows.csv").write_text(
        "ask,key\n" + "".join(f"{n} + 1?,{n + 1}\n" for n in range(20))
    )
    return folder


def specs(own: Path) -> list[str]:
    return [
        str(own / "rivers.toml"),
        str(own / "halves.toml"),
        str(own / "doubling.py"),
        f"{own}/rows.csv?question=ask&answer=key&chat={{{{question}}}}%0AOnly the number.",
    ]


def asked(task: Task) -> list[tuple[str, str, str]]:
    found = []
    for split in SPLITS:
        for example in task.load(split, None).examples:
            prompt = task.prompt(example)
            found.append((example.example_id, prompt.plain, prompt.chat))
    return found


@pytest.mark.parametrize("number", range(4))
def test_a_kept_task_is_the_same_without_its_files(
    number: int, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, run = specs(own)[number], tmp_path / "run"
    task = get_task(spec)
    before = asked(task)
    keep_tasks([spec], run)
    shutil.rmtree(own)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = tmp_path / "moved"
    run.rename(moved)
    again = get_task(spec_of_kept(task.name, moved))
    assert (again.name, again.version) == (task.name, task.version)
    assert asked(again) == before


def test_a_harness_task_is_kept_as_it_was_resolved(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml" / "words.py").write_text("def text(doc):\n    return 'Say ' + doc['q']\n")
    (tmp_path / "yaml" / "_base.yaml").write_text("doc_to_text: !function words.text\n")
    file = write_harness_task(
        tmp_path / "yaml",
        "rivers",
        {"training": RIVERS[:8], "validation": RIVERS[8:10], "test": RIVERS[10:]},
        include="_base.yaml",
        output_type="multiple_choice",
        doc_to_choice="options",
        doc_to_target="label",
    )
    spec = f"lm-eval:rivers?include_path={file.parent}&num_fewshot=1"
    task = get_task(spec)
    before = asked(task)
    keep_tasks([spec], tmp_path / "run")
    for path in (file, *file.parent.glob("*.py"), file.parent / "_base.yaml"):
        path.unlink()
    place = spec_of_kept("lm-eval:rivers", tmp_path / "run")
    again = get_task(place)
    assert Path(place).parent == tmp_path / "run" / "tasks" / "lm-eval_rivers"
    assert (again.name, again.version) == (task.name, task.version)
    assert asked(again) == before


def test_a_changed_file_is_noticed_and_the_kept_one_taken(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec, run = str(own / "rivers.toml"), tmp_path / "run"
    version = get_task(spec).version
    keep_tasks([spec], run)
    keep_tasks([spec], run)
    assert not caplog.records
    text = (own / "rivers.toml").read_text()
    (own / "rivers.toml").write_text(text.replace('chat = "', 'chat = "Please: '))
    with caplog.at_level(logging.WARNING):
        again = get_task(spec_of_kept("rivers", run))
    assert again.version == version
    assert f"{own}/rivers.toml changed since; task rivers is taken as it was" in caplog.text


def test_a_run_that_goes_on_with_more_rows_keeps_those_too(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec, run = specs(own)[3], tmp_path / "run"
    keep_tasks([spec], run)
    with (own / "rows.csv").open("a") as file:
        file.write("20 + 1?,21\n")
    keep_tasks([spec], run)
    assert f"task rows is not what it was when {run} was begun ({own}/rows.csv)" in caplog.text
    caplog.clear()
    now = asked(get_task(spec))
    shutil.rmtree(own)
    assert asked(get_task(spec_of_kept("rows", run))) == now
    keep_tasks([spec_if_gone(spec, run)], run)
    assert not caplog.records


def test_a_python_file_is_run_where_it_lies_while_it_is_as_it_was(
    own: Path, tmp_path: Path
) -> None:
    spec = str(own / "doubling.py")
    keep_tasks([spec], tmp_path)
    name = get_task(spec).name
    assert spec_of_kept(name, tmp_path) == spec
    (own / "doubling.py").write_text((own / "doubling.py").read_text() + "\n# more\n")
    assert spec_of_kept(name, tmp_path) == str(tmp_path / "tasks" / name / "doubling.py")


def test_large_data_stay_where_they_are(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files, "MAX_COPIED_BYTES", 10)
    keep_tasks([str(own / "rivers.toml")], tmp_path)
    place = tmp_path / "tasks" / "rivers"
    assert sorted(file.name for file in place.iterdir()) == ["kept.json", "rivers.toml"]
    assert asked(get_task(str(place / "rivers.toml"))) == asked(get_task(str(own / "rivers.toml")))


def test_named_tasks_need_no_keeping(tmp_path: Path) -> None:
    keep_tasks(["elements", "arc_easy"], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert spec_of_kept("elements", tmp_path / "run") == "elements"


def test_a_router_keeps_the_tasks_of_its_corpus(own: Path, tmp_path: Path) -> None:
    keep_tasks([str(own / "rivers.toml")], tmp_path / "run")
    copy_kept(tmp_path / "run", tmp_path / "router")
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(own)
    assert get_task(spec_of_kept("rivers", tmp_path / "router")).name == "rivers"


def test_a_broken_description_of_what_is_kept_is_as_none(tmp_path: Path) -> None:
    keep_tasks([str(DATA / "rivers.toml")], tmp_path)
    file = tmp_path / "tasks" / "rivers" / "kept.json"
    for text in ("", "[]", "{}", json.dumps({**json.loads(file.read_text()), "name": "x"})):
        file.write_text(text)
        assert read_kept("rivers", tmp_path) is None
        assert spec_of_kept("rivers", tmp_path) == "rivers"


def test_a_corpus_finds_its_task(own: Path, tmp_path: Path) -> None:
    from types import SimpleNamespace

    spec = str(own / "rivers.toml")
    provenance = SimpleNamespace(task="rivers", task_version=get_task(spec).version)
    with pytest.raises(TaskError, match=r"not built in; pass the .py or .toml"):
        task_of_corpus(provenance, None, tmp_path)  # type: ignore[arg-type]
    keep_tasks([spec], tmp_path)
    shutil.rmtree(own)
    assert task_of_corpus(provenance, None, tmp_path).name == "rivers"  # type: ignore[arg-type]
