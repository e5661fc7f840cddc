"""A scan's paths make a menu, judged by questions that are not searched."""

from collections.abc import Callable
from dataclasses import replace

from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.questions import TaskQuestions
from search_cluster.scan.table import ScanContext, ScanRow, ScanTable
from search_cluster.search.study.from_scan import menu_of_scan
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(6)
GOOD, RACED, BAD = (path_of_edits([Edit(layer, layer + 1, 0)], 6) for layer in (1, 2, 3))
FEW = path_of_edits([Edit(4, 5, 2)], 6)


def examples(split: str, count: int) -> tuple[Example, ...]:
    return tuple(
        Example(
            task="t", question=f"{split} {number}", choices=("a", "b", "c", "d"), gold="a",
            gold_index=0, split=split, source="s",
        )
        for number in range(count)
    )  # fmt: skip


QUESTIONS = TaskQuestions(
    train=examples("train", 600), validation=examples("validation", 100), test=()
)
ALL = (*QUESTIONS.train, *QUESTIONS.validation)


Margin = Callable[[Example, LayerPath], float]


def scan_table(margin: Margin) -> ScanTable:
    table = ScanTable(
        ScanContext(model="m", model_fingerprint="f", num_layers=6, contexts={"t": "c"})
    )
    ask(table, margin, "train", QUESTIONS.train[:128], IDENTITY, GOOD, RACED, BAD)
    ask(table, margin, "train", QUESTIONS.train[:32], FEW)
    ask(table, margin, "validation", QUESTIONS.validation[:96], IDENTITY, GOOD, BAD)
    return table


def ask(
    table: ScanTable, margin: Margin, split: str, questions: tuple[Example, ...], *paths: LayerPath
) -> None:
    for question in questions:
        for path in paths:
            value = margin(question, path)
            verdict = Verdict(reward=float(value > 0), margin=value, output="", num_layer_tokens=1)
            table.add(
                ScanRow(
                    split=split,
                    task="t",
                    example_id=question.example_id,
                    path=path,
                    outcome=verdict,
                )
            )


def good_and_bad(question: Example, path: LayerPath) -> float:
    plain = 1.0 if int(question.question.split()[-1]) % 2 else -1.0
    return plain + {GOOD: 0.6, RACED: 0.2, BAD: -1.5, FEW: 0.6}.get(path, 0.0)


def menu_of(table: ScanTable, without: frozenset[str] = frozenset()) -> dict[LayerPath, int]:
    menu = menu_of_scan(
        table,
        QUESTIONS,
        {GOOD, BAD},
        num_raced=128,
        without=without,
        max_drop=0.04,
        max_paths=24,
    )
    assert [item.fixing_place for item in sorted(menu, key=lambda item: item.fixing_place)] == list(
        range(len(menu))
    )
    assert all(item.chance == 0.25 for item in menu)
    assert all(item.num_screened == item.num_probes for item in menu)
    return {item.path: item.num_probes for item in menu}


def test_finalists_are_judged_by_validation_and_others_by_the_race() -> None:
    assert menu_of(scan_table(good_and_bad)) == {GOOD: 96, RACED: 128}


def test_what_is_searched_has_no_say() -> None:
    searched = frozenset(item.example_id for item in QUESTIONS.validation[:40])
    assert menu_of(scan_table(good_and_bad), searched) == {GOOD: 56, RACED: 128}


def test_questions_without_an_answer_of_the_plain_model_have_no_say() -> None:
    table = scan_table(good_and_bad)
    failure = Failure(kind="PromptTooLongError", message="too long")
    for key, row in table.rows.items():
        if row.example_id in {item.example_id for item in ALL[::4]}:
            table.rows[key] = replace(row, outcome=failure)
    assert menu_of(table) == {GOOD: 72, RACED: 96}


def test_what_growth_asked_of_the_best_alone_drops_no_survivor_of_the_race() -> None:
    table = scan_table(good_and_bad)
    ask(table, good_and_bad, "train", QUESTIONS.train[128:], IDENTITY, BAD)
    assert menu_of(table) == {GOOD: 96, RACED: 128}


def test_a_scan_that_found_nothing_leaves_an_empty_menu() -> None:
    def all_bad(question: Example, path: LayerPath) -> float:
        return good_and_bad(question, IDENTITY) - 1.5 * (path != IDENTITY)

    assert menu_of(scan_table(all_bad)) == {}
