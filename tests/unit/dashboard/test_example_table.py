"""Filters, orders and pages of the table of examples."""

from pathlib import Path

import pytest
from support.run_folders import all_kinds, example, right, searched, solved_by, write_run

from search_cluster.dashboard.example_table import PAGE_ROWS, Order, TableQuery, table_page
from search_cluster.dashboard.run_folder import RunFolder
from search_cluster.dashboard.shard_digest import MAX_TEXT, ExampleOutcome, ExampleRow
from search_cluster.errors import InvalidValueError


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExampleRow, ...]:
    many = [searched(example(100 + number), solved_by(number % 8)) for number in range(40)]
    folder = write_run(
        tmp_path_factory.mktemp("table") / "run", [*all_kinds(), *many], per_shard=16
    )
    return RunFolder(folder).read().rows


def _questions(rows: tuple[ExampleRow, ...], **query: object) -> list[str]:
    return [row["question"] for row in table_page(rows, TableQuery(**query))["rows"]]


def test_pages_hold_every_row_once(rows: tuple[ExampleRow, ...]) -> None:
    first = table_page(rows, TableQuery())
    assert (first["num_rows"], first["num_pages"], len(first["rows"])) == (45, 3, PAGE_ROWS)
    seen = [
        row["id"] for page in range(3) for row in table_page(rows, TableQuery(page=page))["rows"]
    ]
    assert sorted(seen) == sorted(row.example_id for row in rows)
    assert seen[0] == rows[-1].example_id, "newest first"
    assert table_page(rows, TableQuery(page=99))["page"] == 2


def test_filters(rows: tuple[ExampleRow, ...]) -> None:
    assert _questions(rows, outcome=ExampleOutcome.FAILED) == ["Riddle 4?"]
    fixed = table_page(rows, TableQuery(outcome=ExampleOutcome.FIXED))
    assert {row["outcome"] for row in fixed["rows"]} == {"fixed"}
    assert fixed["num_rows"] == sum(row.outcome is ExampleOutcome.FIXED for row in rows) > PAGE_ROWS
    assert _questions(rows, text="RIDDLE 117") == ["Riddle 117?"]
    assert _questions(rows, text=rows[0].example_id[:16]) == [rows[0].question]
    empty = table_page(rows, TableQuery(text="nothing like it"))
    assert (empty["num_rows"], empty["num_pages"], empty["rows"]) == (0, 1, [])


def test_orders(rows: tuple[ExampleRow, ...]) -> None:
    saved = [row["layers_saved"] for page in range(3) for row in _page(rows, Order.SAVED, page)]
    right_ones = [value for value in saved if value is not None]
    assert right_ones == sorted(right_ones, reverse=True)
    assert saved[len(right_ones) :] == [None] * (len(saved) - len(right_ones)), "unsolved ones last"
    paths = [row["num_paths"] for row in _page(rows, Order.PATHS, 0)]
    assert paths == sorted(paths, reverse=True)
    assert _questions(rows, order=Order.QUESTION)[0] == "Riddle 0?"
    assert _questions(rows, order=Order.QUESTION, reverse=True)[0] == "Riddle 4?"


def test_long_texts_are_cut(tmp_path: Path) -> None:
    record = searched(example(0, question="long " * 1000), right)
    shown = table_page(RunFolder(write_run(tmp_path / "run", [record])).read().rows, TableQuery())[
        "rows"
    ][0]
    assert len(shown["question"]) == MAX_TEXT + 2


def test_queries_in_urls() -> None:
    values = {"text": "a", "outcome": "fixed", "order": "saved", "reverse": "1", "page": "3"}
    assert TableQuery.parse(values) == TableQuery(
        text="a", outcome=ExampleOutcome.FIXED, order=Order.SAVED, reverse=True, page=3
    )
    assert TableQuery.parse({}) == TableQuery()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"page": "-1"}, "page is '-1'; pages count from 0"),
        ({"page": "²"}, "page is '²'"),
        ({"page": "9" * 5000}, "pages count from 0"),
        ({"order": "luck"}, "order is 'luck'; it is one of newest, saved, paths, question"),
        ({"outcome": "<b>"}, "outcome is '<b>'; it is one of fixed"),
    ],
)
def test_queries_that_mean_nothing(values: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        TableQuery.parse(values)


def _page(rows: tuple[ExampleRow, ...], order: Order, page: int) -> list[dict[str, int]]:
    found: list[dict[str, int]] = table_page(rows, TableQuery(order=order, page=page))["rows"]
    return found
