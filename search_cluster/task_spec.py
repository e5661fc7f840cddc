"""How a task is named on a command line, with what belongs to the name.

A spec is a name, a file or a data set, and after a ``?`` its options, as in a URL::

    capitals
    rivers.toml
    lm-eval:arc_easy?num_fewshot=5
    lm-eval:my_task?include_path=/data/tasks
    rows.jsonl?question={{q}}&answer={{a}}
    hub:allenai/openbookqa?choices={{choices.text}}&...

Flags beside ``--task`` (``--include-path``, ``--num-fewshot``, ``--field``) become such options, so
that one text names the task in every process and in every folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from search_cluster.errors import TaskError

HARNESS_PREFIX = "lm-eval:"
HUB_PREFIX = "hub:"
INCLUDE_PATH = "include_path"
NUM_FEWSHOT = "num_fewshot"
FILTER = "filter"
HARNESS_OPTIONS = (INCLUDE_PATH, NUM_FEWSHOT, FILTER)
"""What may be said of a task of the harness."""
HARNESS_SUFFIXES = (".yaml", ".yml")
"""What the harness' task files end in."""
MORE_OF_ONE = "|||"
"""Stands between several values of one option."""
_AS_IT_IS = "/:{}. "
"""Written as they are, so that a spec can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task's name and options, taken apart."""

    base: str
    """What stands before the options."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The options."""

    @property
    def suffix(self) -> str:
        """The suffix of a file; empty for the harness' and the hub's names."""
        return "" if self.is_prefixed else Path(self.base).suffix

    @property
    def is_prefixed(self) -> bool:
        """Whether it names a task of the harness or a data set of the hub."""
        return self.base.startswith((HARNESS_PREFIX, HUB_PREFIX))

    @property
    def label(self) -> str:
        """The name for people: a file's without its folder, and no options."""
        return self.base if self.is_prefixed else Path(self.base).name

    def __str__(self) -> str:
        """The text that gives this spec again."""
        if not self.options:
            return self.base
        written = urlencode(self.options, safe=_AS_IT_IS, quote_via=quote)
        return f"{self.base}?{written}"

    def absolute(self, *, is_file: bool) -> "TaskSpec":
        """The spec as a process with another working directory needs it."""
        options = {
            key: str(Path(value).absolute()) if key == INCLUDE_PATH else value
            for key, value in self.options.items()
        }
        base = self.base
        if is_file:
            base = str(Path(base).absolute())
        elif base.startswith(HARNESS_PREFIX) and base.endswith(HARNESS_SUFFIXES):
            base = HARNESS_PREFIX + str(Path(base.removeprefix(HARNESS_PREFIX)).absolute())
        return TaskSpec(base=base, options=options)


def read_spec(text: str) -> TaskSpec:
    """A spec taken apart; a file whose name holds a ``?`` is not.

    Raises:
        TaskError: the options are not written as in a URL.
    """
    base, mark, options = text.partition("?")
    if not mark or Path(text).is_file():
        return TaskSpec(base=text)
    try:
        pairs = parse_qsl(options, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise TaskError(
            f"the options of task {text!r} can't be read; write them as NAME=VALUE, with & between"
        ) from error
    return TaskSpec(base=base, options=dict(pairs))


def spec_with(text: str, more: Mapping[str, str]) -> str:
    """A spec with further options; those that it has already give way.

    Raises:
        TaskError: it can't be read.
    """
    spec = read_spec(text)
    return str(TaskSpec(base=spec.base, options={**spec.options, **more}))
