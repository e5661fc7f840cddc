"""Token sequences of text: from a file, from a task's training prompts, or any that are at hand.

What the model itself writes is in `search_cluster.model.lens.sampled`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search_cluster.errors import ConfigError, PromptError
from search_cluster.model.data_text import encode_marked, leading_ids, mark_data
from search_cluster.model.lens.tokenised_text import restore_text, seems_tokenised
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task

SEQUENCE_LENGTH = 512
"""The tokens of a sequence that is cut from running text."""
BLOCK_CHARACTERS = 2**15
"""Running text is tokenized in blocks of at least so many characters that end with a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSequence:
    """The token ids of one text."""

    ids: tuple[int, ...]
    first: int = 0
    """The first position that counts: those before it stand in another sequence, too."""

    @property
    def num_rows(self) -> int:
        """The number of positions that count."""
        return len(self.ids) - self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTexts:
    """Token sequences, and where they come from."""

    source: str
    """In words: ``text FILE``, ``task NAME``, ``self, seed 0``."""
    sequences: tuple[TokenSequence, ...]
    notes: tuple[str, ...] = ()
    """What a user should know of them, a line each."""

    @property
    def num_tokens(self) -> int:
        """The number of positions that count."""
        return sum(sequence.num_rows for sequence in self.sequences)

    @property
    def digest(self) -> str:
        """16 hex digits that are equal for equal sequences."""
        content = json.dumps([[sequence.first, sequence.ids] for sequence in self.sequences])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def texts_of_file(
    loaded: LoadedModel, path: Path, *, num_tokens: int, length: int = SEQUENCE_LENGTH
) -> TokenTexts:
    """The first tokens of a plain text file, in sequences of one length.

    Each begins with the BOS if the tokenizer puts one in front of plain text. Control tokens in the
    text are text. A file that was cut into words, such as WikiText, is put together again first.

    Args:
        loaded: the model whose tokenizer reads it.
        path: UTF-8 text of any size; no more of it is read than is needed.
        num_tokens: the number of tokens at most, without the BOS of each sequence.
        length: the number of tokens of a sequence, BOS included; the last one may be shorter.

    Raises:
        ConfigError: the file can't be read as text, or is empty.
    """
    start = leading_ids(loaded.tokenizer)
    length = min(length, _window(loaded))
    sequences: list[TokenSequence] = []
    pending: list[int] = []
    num_left = num_tokens
    restored = False
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for block in _blocks(stream):
                restored = restored or (not sequences and not pending and seems_tokenised(block))
                text = restore_text(block) if restored else block
                pending += encode_marked(loaded.tokenizer, mark_data(loaded.tokenizer, text))
                while len(pending) >= length - len(start) and num_left > 0:
                    taken = min(length - len(start), num_left)
                    sequences.append(TokenSequence(ids=(*start, *pending[:taken])))
                    del pending[:taken]
                    num_left -= taken
                if num_left <= 0:
                    break
    except UnicodeDecodeError as error:
        raise ConfigError(f"text {path} is not UTF-8 ({error}); name a plain text file") from error
    if num_left > 0 and pending:
        sequences.append(TokenSequence(ids=(*start, *pending[:num_left])))
    if not sequences:
        raise ConfigError(f"text {path} holds no token; name a file with text in it")
    notes = (
        (f"{path} is cut into words (' ,', '@-@'); it was put together again, <unk> stays",)
        if restored
        else ()
    )
    return TokenTexts(source=f"text {path}", sequences=tuple(sequences), notes=notes)


def texts_of_task(
    loaded: LoadedModel,
    task: Task,
    *,
    num_tokens: int,
    seed: int = 0,
    data_dir: Path | None = None,
    split: str = "train",
) -> TokenTexts:
    """A task's prompts with each of their choices, as the product asks them.

    The context counts once, and each choice after it. The seed draws the order of the questions;
    those that can't be asked are left out.

    Args:
        loaded: the model that is asked.
        task: which task.
        num_tokens: the number of positions at most; a question is taken whole.
        seed: draws the questions.
        data_dir: see `Task.load`.
        split: the split that they are from.

    Raises:
        TaskError: the split can't be read.
        ConfigError: not one question can be asked.
    """
    examples = select_examples(task.load(split, data_dir).examples, None, seed)
    sequences, num_left_out = sequences_of_questions(loaded, task, examples, num_tokens=num_tokens)
    if not sequences:
        raise ConfigError(
            f"not one {split} question of task {task.name} can be asked ({num_left_out} tried); "
            "`search-cluster tasks check` says why, with the same task and --model"
        )
    notes = (f"{num_left_out} questions can't be asked and are left out",) if num_left_out else ()
    return TokenTexts(source=f"task {task.name}", sequences=sequences, notes=notes)


def sequences_of_questions(
    loaded: LoadedModel, task: Task, examples: Iterable[Example], *, num_tokens: int
) -> tuple[tuple[TokenSequence, ...], int]:
    """Questions with each of their choices, as the product asks them; the context counts once.

    Args:
        loaded: the model that is asked.
        task: which task.
        examples: its questions; those that can't be asked are left out.
        num_tokens: the number of positions at most; a question is taken whole.

    Returns:
        The sequences, and how many questions are left out.
    """
    sequences: list[TokenSequence] = []
    num_taken = num_left_out = 0
    for example in examples:
        if num_taken >= num_tokens:
            break
        try:
            encoded = encode_example(loaded, task, example)
        except PromptError:
            num_left_out += 1
            continue
        context, first = encoded.context_ids, 0
        for choice in encoded.choice_ids or ((),):
            sequences.append(TokenSequence(ids=(*context, *choice), first=first))
            num_taken += sequences[-1].num_rows
            first = len(context)
    return tuple(sequences), num_left_out


def by_context(sequences: Iterable[TokenSequence]) -> list[tuple[TokenSequence, ...]]:
    """Texts of one context (a question's choices) together, because they share its rows."""
    groups: list[list[TokenSequence]] = []
    for sequence in sequences:
        if sequence.first and groups:
            groups[-1].append(sequence)
        else:
            groups.append([sequence])
    return [tuple(group) for group in groups]


def first_sequences(
    sequences: Iterable[TokenSequence], num_rows: int, *, whole: bool = False
) -> tuple[TokenSequence, ...]:
    """The first of some sequences, until they have so many positions that count.

    Args:
        sequences: what to take from.
        num_rows: the positions at most.
        whole: whether the last sequence is taken whole, though there are more positions then.
    """
    taken: list[TokenSequence] = []
    num_left = num_rows
    for sequence in sequences:
        if num_left <= 0:
            break
        if sequence.num_rows > num_left and not whole:
            sequence = replace(sequence, ids=sequence.ids[: sequence.first + num_left])
        taken.append(sequence)
        num_left -= sequence.num_rows
    return tuple(taken)


def texts_of_ids(source: str, ids: Sequence[Sequence[int]]) -> TokenTexts:
    """Sequences whose every position counts."""
    return TokenTexts(
        source=source, sequences=tuple(TokenSequence(ids=tuple(item)) for item in ids)
    )


def _blocks(lines: Iterator[str]) -> Iterator[str]:
    block: list[str] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK_CHARACTERS:
            yield "".join(block)
            block, size = [], 0
    if block:
        yield "".join(block)


def _window(loaded: LoadedModel) -> int:
    return int(getattr(loaded.model.config, "max_position_embeddings", None) or SEQUENCE_LENGTH)
