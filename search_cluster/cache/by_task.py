"""One verdict store over several, one for each task, because tasks have contexts of their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from search_cluster.cache.keys import VerdictContext
from search_cluster.cache.open import EMBEDDED, EMBEDDED_FOLDER, open_store
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.cache.store import Claim, StoreErrors, VerdictStore
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

Pair = tuple[str, LayerPath]
Answer = TypeVar("Answer")


class StoreByTask:
    """Implements `VerdictStore` by the store of each example's task.

    Args:
        stores: by the task's name; they stay the caller's to close.
        examples: all that will be asked for.
    """

    def __init__(self, stores: Mapping[str, VerdictStore], examples: Iterable[Example]) -> None:
        self._stores = stores
        self._task_of = {example.example_id: example.task for example in examples}

    @property
    def errors(self) -> StoreErrors:
        """The sums over all stores."""
        errors = [store.errors for store in self._stores.values()]
        return StoreErrors(
            num_corrupt=sum(item.num_corrupt for item in errors),
            num_failed=sum(item.num_failed for item in errors),
            num_buffered=sum(item.num_buffered for item in errors),
            num_dropped=sum(item.num_dropped for item in errors),
        )

    def get_many(self, items: Sequence[Pair]) -> list[Verdict | None]:
        """See `VerdictStore`."""
        answers: dict[Pair, Verdict | None] = {}
        for store, of_task in self._divided(items):
            answers |= zip(of_task, store.get_many(of_task), strict=True)
        return [answers[item] for item in items]

    def claim_many(self, items: Sequence[Pair]) -> list[Verdict | Claim]:
        """See `VerdictStore`."""
        answers: dict[Pair, Verdict | Claim] = {}
        for store, of_task in self._divided(items):
            answers |= zip(of_task, store.claim_many(of_task), strict=True)
        return [answers[item] for item in items]

    def keep_claims(self) -> None:
        """See `VerdictStore`."""
        for store in self._stores.values():
            store.keep_claims()

    def release_many(self, items: Sequence[Pair]) -> None:
        """See `VerdictStore`."""
        for store, of_task in self._divided(items):
            store.release_many(of_task)

    def put_many(self, items: Sequence[tuple[str, LayerPath, Verdict]]) -> None:
        """See `VerdictStore`."""
        verdicts = {(example_id, path): verdict for example_id, path, verdict in items}
        for store, of_task in self._divided(list(verdicts)):
            store.put_many([(*pair, verdicts[pair]) for pair in of_task])

    def close(self) -> None:
        """Write what waits, in all of them."""
        for store in self._stores.values():
            store.close()

    def _divided(self, items: Sequence[Pair]) -> Iterator[tuple[VerdictStore, list[Pair]]]:
        of_task: dict[str, list[Pair]] = {}
        for item in items:
            of_task.setdefault(self._task_of[item[0]], []).append(item)
        for task, pairs in of_task.items():
            yield self._stores[task], pairs


@contextmanager
def open_stores(
    redis_url: str,
    *,
    contexts: Mapping[str, VerdictContext],
    examples: Iterable[Example],
    run_dir: Path,
) -> Iterator[VerdictStore]:
    """One store for the verdicts of several tasks, see `search_cluster.cache.open.open_store`.

    Args:
        redis_url: ``embedded``, ``none``, or a server's URL.
        contexts: what the verdicts depend on, by the task's name.
        examples: all that will be asked for.
        run_dir: the run folder.

    Raises:
        CacheError: the server can't be started, reached or written to.
    """
    with ExitStack() as stack:
        if len(contexts) == 1:  # whatever its examples call themselves
            (context,) = contexts.values()
            yield stack.enter_context(open_store(redis_url, context=context, run_dir=run_dir))
            return
        if redis_url == EMBEDDED:
            redis_url = stack.enter_context(EmbeddedServer(run_dir / EMBEDDED_FOLDER)).url
        stores = {
            task: stack.enter_context(open_store(redis_url, context=context, run_dir=run_dir))
            for task, context in contexts.items()
        }
        yield StoreByTask(stores, examples)
