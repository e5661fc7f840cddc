"""Files of a study are read and checked before its folder is."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.loaded_tiny import loaded_tiny
from support.tiny import MAX_POSITIONS, save_tiny_model

from search_cluster.commands.depth.asked import StudyRequest
from search_cluster.commands.depth.drawn import draw_questions
from search_cluster.commands.depth.inputs import read_inputs
from search_cluster.commands.depth.run import run_depth
from search_cluster.config import SearchConfig
from search_cluster.depth.settings import DepthSettings
from search_cluster.errors import ConfigError
from search_cluster.tasks.registry import get_task

LONG = "ab " * MAX_POSITIONS


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], StudyRequest]:
    model = save_tiny_model(tmp_path_factory.mktemp("inputs") / "model")
    return lambda out: StudyRequest(
        config=SearchConfig(model=str(model), device="cpu", dtype="float32"),
        settings=DepthSettings(questions=4, words=20, known=12),
        task="elements",
        lens="logit",
        text=None,
        pos=None,
        facts=None,
        paths=(),
        out=out,
    )


def sentence(*words: str) -> str:
    rows = (f"{at}\t{word}\t_\tNOUN\t_\t_\t_\t_\t_\t_" for at, word in enumerate(words, start=1))
    return "\n".join(rows) + "\n\n"


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("pos", sentence("one").replace("NOUN", "NUON"), r"wrong:1: the word class is 'NUON'"),
        ("pos", sentence("one"), "not one of the sentences of .*wrong can be asked"),
        ("facts", '[{"prompt": "the city"}]', "fact 0 has no prompt and attribute"),
        ("facts", json.dumps([{"prompt": LONG, "attribute": "a"}]), "not one of the facts of"),
        ("text", "", "holds no token"),
    ],
)
def test_a_fault_in_a_file_costs_no_folder(
    option: str,
    content: str,
    said: str,
    request_of: Callable[[Path], StudyRequest],
    tmp_path: Path,
) -> None:
    wrong, out = tmp_path / "wrong", tmp_path / "study"
    wrong.write_text(content)
    with pytest.raises(ConfigError, match=said):
        run_depth(replace(request_of(out), **{option: wrong}))
    assert not out.exists()


def test_what_is_too_long_is_left_out_and_counted(
    request_of: Callable[[Path], StudyRequest], tmp_path: Path
) -> None:
    pos, facts = tmp_path / "pos.conllu", tmp_path / "facts.json"
    words = ("the", "city", "of", "the", "number", "is", "what")
    pos.write_text(sentence(*words) + sentence(*LONG.split()))
    rows = [{"prompt": f"the city {number} is", "attribute": "the answer"} for number in range(3)]
    facts.write_text(json.dumps([*rows, {"prompt": f"{LONG} is", "attribute": "the answer"}]))
    request = replace(request_of(tmp_path / "study"), pos=pos, facts=facts)
    task = get_task("elements")
    found = read_inputs(request, loaded_tiny(), task, draw_questions(request, task))
    assert found.words is not None
    assert found.facts is not None
    assert (len(found.words), len(found.facts)) == (1, 3)
    assert [note.split(" can't")[0] for note in found.notes] == [
        f"{pos}: 1 of the sentences",
        f"{facts}: 1 of the facts",
    ]
