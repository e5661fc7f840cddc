"""The exception tree of the project.

Every error message gives the value, the rule and the next step.

    SearchClusterError
    ├── InvalidValueError (also ValueError)   a caller's mistake
    │   ├── InvalidPathError                  a layer path that no model can run
    │   ├── TaskError                         an unknown task, a file without one good row
    │   │   └── UnreadableDataError           data that is there, or should be, and can't be read
    │   └── ConfigError                       a setting, a flag, a run folder started otherwise
    ├── ModelError                            a model that can't be loaded or can't be re-ordered
    │   ├── UnsupportedFamilyError            an architecture without an anatomy entry
    │   ├── PromptError                       a prompt that does not ask what it should
    │   │   └── PromptTooLongError            a prompt longer than the model's context
    │   └── NonFiniteLogitsError              NaN or infinite logits: a failure, never a reward
    ├── HubError                          a repository that is not there, not ours, not writable
    ├── CacheError                            the cache server can't be started or reached
    ├── CorpusError                           a corpus that is missing, unfinished or damaged
    ├── EvaluatorError                        no worker could be placed, or all of them died
    │   └── DeviceBrokenError                 a device that fails, or computes what is wrong
    └── OneFaultError                         examples fail one after another, for one reason
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches


class SearchClusterError(Exception):
    """Base of all errors that this project raises on purpose."""


class InvalidValueError(SearchClusterError, ValueError):
    """A caller passed a value that breaks a stated rule."""


class InvalidPathError(InvalidValueError):
    """A layer path that no model can run."""


class TaskError(InvalidValueError):
    """An unknown task, or data that holds no usable example."""


class UnreadableDataError(TaskError):
    """Data of a split that the task has, and that can't be read now: no network, no permission."""


class ConfigError(InvalidValueError):
    """A setting that is out of range, unknown, or contradicts the run folder."""


class ModelError(SearchClusterError):
    """A model that can't be loaded, or can't be used as asked."""


class UnreachableHubError(ModelError):
    """The hub can't be reached, and what is asked of it is not in the local cache."""


class UnsupportedFamilyError(ModelError):
    """An architecture that has no anatomy entry."""


class PromptError(ModelError):
    """A prompt that does not ask its question, or choices that the tokenizer can't tell apart."""


class PromptTooLongError(PromptError):
    """A prompt that does not fit into the model's context window."""


class NonFiniteLogitsError(ModelError):
    """The model produced NaN or infinite logits, so there is no verdict."""


class HubError(SearchClusterError):
    """A repository of the hub that is not there, holds something else, or can't be written."""


class CacheError(SearchClusterError):
    """The cache server can't be started, reached or trusted."""


class CorpusError(SearchClusterError):
    """A corpus folder that is missing, unfinished or damaged."""


class EvaluatorError(SearchClusterError):
    """No evaluator could be placed, or none is left alive."""


class DeviceBrokenError(EvaluatorError):
    """A device that fails, or computes what is wrong: nothing that was computed there counts."""

    node_id: str = ""
    """The node that has it, on a cluster."""


class OneFaultError(SearchClusterError):
    """Examples fail one after another for one reason, which is not theirs."""


def in_one_line(error: BaseException) -> str:
    """All that an error says, in one line; its name if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and then one by one those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> str:
    """The known names nearest to one that nobody knows, as `` (did you mean A or B?)``.

    It is empty where none is near.

    Args:
        name: what was written.
        known: the names that there are.
        most: how many are named at most.
        cutoff: from which likeness on, between 0 and 1.
    """
    near = get_close_matches(name, list(known), n=most, cutoff=cutoff)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def known_names(name: str, known: Iterable[str]) -> str:
    """All known names, and the nearest to one that nobody knows: ``A, B; did you mean A?``."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return ", ".join(names) + (f"; did you mean {close[0]}?" if close else "")


def error_line(error: SearchClusterError | OSError) -> str:
    """What a command says of an error that ends it, in one line.

    It adds a next step where the system's words have none.
    """
    next_step = ""
    if isinstance(error, OSError) and error.filename:
        next_step = "; check this path, its permissions and the free space"
    return f"error: {' '.join(str(error).split())}{next_step}"
