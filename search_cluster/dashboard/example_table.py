"""The table of examples.

Rows are filtered, sorted and cut into pages where they are, not in the browser.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from search_cluster.dashboard.shard_digest import ExampleOutcome, ExampleRow
from search_cluster.errors import InvalidValueError

PAGE_ROWS = 20
"""The number of rows on a page."""
E = TypeVar("E", bound=StrEnum)


class Order(StrEnum):
    """What the table is sorted by."""

    NEWEST = "newest"
    """The last written example comes first."""
    SAVED = "saved"
    """The most layers saved come first, examples without a right path last."""
    PATHS = "paths"
    """The most paths evaluated come first."""
    QUESTION = "question"
    """The texts of the questions decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableQuery:
    """Which rows to show."""

    text: str = ""
    """A text that has to occur in question, gold answer or id, in either case."""
    outcome: ExampleOutcome | None = None
    """The outcome that examples must have; ``None`` allows any."""
    order: Order = Order.NEWEST
    """What the rows are sorted by."""
    reverse: bool = False
    """Whether the order is turned round."""
    page: int = 0
    """The number of the page, from 0; a page behind the last one shows the last one."""

    @classmethod
    def parse(cls, values: dict[str, str]) -> "TableQuery":
        """The query in the parameters of a URL; missing ones have their defaults.

        Raises:
            InvalidValueError: a parameter has no such value.
        """
        page = values.get("page", "0")
        if not (page.isascii() and page.isdigit() and len(page) < 10):
            raise InvalidValueError(f"page is {page[:20]!r}; pages count from 0")
        outcome = values.get("outcome", "")
        return cls(
            text=values.get("text", ""),
            outcome=None if not outcome else _member(ExampleOutcome, "outcome", outcome),
            order=_member(Order, "order", values.get("order", Order.NEWEST.value)),
            reverse=values.get("reverse", "") == "1",
            page=int(page),
        )


def table_page(rows: Sequence[ExampleRow], query: TableQuery) -> dict[str, Any]:
    """One page of the rows that a query wants, ready for JSON."""
    wanted = query.text.casefold()
    found = [
        row
        for row in rows
        if (query.outcome is None or row.outcome is query.outcome)
        and (not wanted or wanted in f"{row.question}\n{row.gold}\n{row.example_id}".casefold())
    ]
    if query.order is Order.NEWEST:
        found.reverse()
    else:
        found.sort(key=_KEYS[query.order])
    if query.reverse:
        found.reverse()
    num_pages = max(1, -(-len(found) // PAGE_ROWS))
    page = min(query.page, num_pages - 1)
    return {
        "num_rows": len(found),
        "num_pages": num_pages,
        "page": page,
        "first": page * PAGE_ROWS,
        "rows": [_shown(row) for row in found[page * PAGE_ROWS : (page + 1) * PAGE_ROWS]],
    }


def _saved(row: ExampleRow) -> int | None:
    return None if row.best is None else row.best.num_layers - len(row.best)


def _by_saved(row: ExampleRow) -> tuple[bool, int, str]:
    saved = _saved(row)
    return saved is None, -(saved or 0), row.example_id


_KEYS: dict[Order, Callable[[ExampleRow], Any]] = {
    Order.SAVED: _by_saved,
    Order.PATHS: lambda row: (-row.num_paths, row.example_id),
    Order.QUESTION: lambda row: (row.question.casefold(), row.example_id),
}


def _shown(row: ExampleRow) -> dict[str, Any]:
    return {
        "id": row.example_id,
        "question": row.question,
        "gold": row.gold,
        "outcome": row.outcome.value,
        "best_layers": None if row.best is None else len(row.best),
        "layers_saved": _saved(row),
        "best_path": None if row.best is None else str(row.best),
        "num_paths": row.num_paths,
        "num_failures": row.num_failures,
    }


def _member(kind: type[E], name: str, value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(member.value for member in kind)
        raise InvalidValueError(f"{name} is {value[:40]!r}; it is one of {allowed}") from None
