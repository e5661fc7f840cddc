import dataclasses
from pathlib import Path

import pytest
from support import tiny
from support.model_doubles import CAPITAL, SUM, ChoiceTask, GenerateTask, loaded_tiny

from search_cluster.errors import ConfigError
from search_cluster.model.lens.sampled import texts_of_model
from search_cluster.model.lens.texts import (
    TokenSequence,
    first_sequences,
    texts_of_file,
    texts_of_task,
)
from search_cluster.model.lens.tokenised_text import restore_text
from search_cluster.tasks.task import LoadedExamples

TEXT = "the answer is the capital of the question\n" * 40
CUT = (
    " = Homarus = \n \n In <unk> , a guest @-@ star had 1 @,@ 000 lobsters ( 24 % in all ) ; he "
    "said \" hello there \" , that is Teddy 's . He did n't . \n"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOf(ChoiceTask):
    examples: tuple[object, ...] = ()

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        assert split == "train"
        return LoadedExamples(examples=self.examples)  # type: ignore[arg-type]


def test_a_file_is_cut_into_sequences_that_begin_with_the_bos(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text(TEXT * 100)
    loaded = loaded_tiny()
    texts = texts_of_file(loaded, file, num_tokens=1000, length=64)
    assert all(sequence.ids[0] == tiny.BOS_ID for sequence in texts.sequences)
    assert {len(sequence.ids) for sequence in texts.sequences[:-1]} == {64}
    # The BOS of each is on top of what was asked for.
    assert texts.num_tokens - len(texts.sequences) == 1000
    flat = [token for sequence in texts.sequences for token in sequence.ids[1:]]
    assert loaded.tokenizer.decode(flat) == (TEXT * 100)[: len(loaded.tokenizer.decode(flat))]
    assert texts.digest == texts_of_file(loaded, file, num_tokens=1000, length=64).digest
    assert texts.digest != texts_of_file(loaded, file, num_tokens=999, length=64).digest
    assert texts.notes == ()


def test_a_short_file_gives_all_that_it_has(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("the answer")
    loaded = loaded_tiny()
    [sequence] = texts_of_file(loaded, file, num_tokens=1000).sequences
    assert loaded.tokenizer.decode(sequence.ids) == "<bos>the answer"


def test_control_tokens_in_a_text_are_text(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("what <eos> marks")
    [sequence] = texts_of_file(loaded_tiny(), file, num_tokens=1000).sequences
    assert tiny.EOS_ID not in sequence.ids


def test_no_sequence_is_longer_than_the_window(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    loaded = loaded_tiny(tiny.tiny_model(max_position_embeddings=16))
    texts = texts_of_file(loaded, file, num_tokens=100, length=64)
    assert max(len(sequence.ids) for sequence in texts.sequences) == 16


def test_text_that_was_cut_into_words_is_put_together_again(tmp_path: Path) -> None:
    restored = (
        "= Homarus =\n\nIn <unk>, a guest-star had 1,000 lobsters (24% in all); he said "
        "\"hello there\", that is Teddy's. He didn't.\n"
    )
    assert restore_text(CUT) == restored
    file = tmp_path / "text.txt"
    file.write_text(CUT)
    loaded = loaded_tiny()
    texts = texts_of_file(loaded, file, num_tokens=10_000)
    assert loaded.tokenizer.decode(texts.sequences[0].ids[1:]) == restored
    assert "put together again" in texts.notes[0]


def test_a_file_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("")
    with pytest.raises(ConfigError, match="holds no token"):
        texts_of_file(loaded_tiny(), file, num_tokens=10)
    file.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ConfigError, match="not UTF-8"):
        texts_of_file(loaded_tiny(), file, num_tokens=10)


def test_a_task_gives_its_prompts_with_every_choice_and_counts_the_context_once() -> None:
    loaded = loaded_tiny(chat=True)
    texts = texts_of_task(loaded, TaskOf(examples=(CAPITAL,)), num_tokens=10_000)
    shown = [loaded.tokenizer.decode(sequence.ids) for sequence in texts.sequences]
    context = f"<bos><start>user\n{CAPITAL.question}<eos>\n<start>assistant\n"
    assert shown == [context + choice for choice in CAPITAL.choices]
    first, *rest = texts.sequences
    assert first.first == 0
    for sequence, choice in zip(rest, CAPITAL.choices[1:], strict=True):
        assert loaded.tokenizer.decode(sequence.ids[sequence.first :]) == choice
    assert texts.source == "task capitals"


def test_a_task_without_choices_gives_its_prompts() -> None:
    loaded = loaded_tiny()

    class Sums(TaskOf, GenerateTask):
        pass

    texts = texts_of_task(loaded, Sums(examples=(SUM,)), num_tokens=100)
    assert [loaded.tokenizer.decode(item.ids) for item in texts.sequences] == ["<bos>Q: 1+1=\nA:"]


def test_questions_that_can_not_be_asked_are_left_out_and_said() -> None:
    bad = dataclasses.replace(CAPITAL, question="Twins?", choices=("Rome", "Rome"))
    task = TaskOf(examples=(CAPITAL, bad))
    texts = texts_of_task(loaded_tiny(), task, num_tokens=10_000)
    assert len(texts.sequences) == 4
    assert texts.notes == ("1 questions can't be asked and are left out",)
    with pytest.raises(
        ConfigError, match=r"not one train question .*`search-cluster tasks check` says why"
    ):
        texts_of_task(loaded_tiny(), TaskOf(examples=(bad,)), num_tokens=10)


def test_no_more_questions_are_taken_than_are_needed_and_the_seed_draws_them() -> None:
    examples = tuple(
        dataclasses.replace(CAPITAL, question=f"What is the capital of number {number}?")
        for number in range(20)
    )
    task = TaskOf(examples=examples)
    texts = texts_of_task(loaded_tiny(), task, num_tokens=100)
    assert 100 <= texts.num_tokens < 200
    assert texts.digest == texts_of_task(loaded_tiny(), task, num_tokens=100).digest
    assert texts.digest != texts_of_task(loaded_tiny(), task, num_tokens=100, seed=1).digest


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=[] if name in tiny.QUICK_FAMILIES else [pytest.mark.slow])
        for name in tiny.FAMILIES
    ],
)
def test_a_model_writes_the_same_text_for_the_same_seed(family: str) -> None:
    loaded = loaded_tiny(family=family, chat=True)
    texts = texts_of_model(loaded, num_tokens=80 * 24, length=24)
    assert texts.num_tokens == 80 * 24
    assert texts.digest == texts_of_model(loaded, num_tokens=80 * 24, length=24).digest
    assert texts.digest != texts_of_model(loaded, num_tokens=80 * 24, length=24, seed=1).digest
    by_bos, by_chat = texts.sequences[0], texts.sequences[-1]
    assert by_bos.ids[0] == tiny.BOS_ID
    assert loaded.tokenizer.decode(by_chat.ids).startswith("<bos><start>user\n")
    assert len({sequence.ids for sequence in texts.sequences}) == 80


def test_what_a_model_wrote_before_is_kept(tmp_path: Path) -> None:
    loaded = loaded_tiny()
    texts = texts_of_model(loaded, num_tokens=64 * 8 + 80, length=8, kept=tmp_path)
    assert len(list(tmp_path.glob("self-*.npy"))) == 2
    for file in tmp_path.glob("self-*.npy"):
        assert file.stat().st_size > 0
    broken = dataclasses.replace(loaded, model=None)  # would fail if it were asked
    assert broken.model is None
    told: list[int] = []
    again = texts_of_model(
        loaded, num_tokens=64 * 8 + 80, length=8, kept=tmp_path, progress=told.append
    )
    assert again == texts
    assert told == [512, 592]


def test_a_drawn_token_follows_the_distribution_of_the_model() -> None:
    """The first drawn token of many sequences has the frequencies of the softmax."""
    loaded = loaded_tiny(tiny.tiny_model(seed=3))
    texts = texts_of_model(loaded, num_tokens=2 * 4000, length=2)
    drawn = [sequence.ids[1] for sequence in texts.sequences]
    import torch

    with torch.inference_mode():
        logits_V = loaded.model(torch.tensor([[tiny.BOS_ID]])).logits[0, -1]
    probability_V = logits_V.softmax(-1)
    for token in probability_V.topk(5).indices.tolist():
        share, expected = drawn.count(token) / len(drawn), float(probability_V[token])
        assert abs(share - expected) < 4 * (expected * (1 - expected) / len(drawn)) ** 0.5


def test_a_sequence_counts_from_its_first_row() -> None:
    assert TokenSequence(ids=(1, 2, 3), first=2).num_rows == 1


def test_the_first_sequences_are_cut_where_so_many_positions_count() -> None:
    sequences = [
        TokenSequence(ids=(1, 2, 3)),
        TokenSequence(ids=(1, 2, 4, 5), first=2),
        TokenSequence(ids=(1, 2, 6, 7, 8), first=2),
    ]
    for num_rows in range(1, 10):
        taken = first_sequences(sequences, num_rows)
        assert sum(item.num_rows for item in taken) == min(num_rows, 8)
        assert all(item.num_rows > 0 for item in taken)
        for item, whole in zip(taken, sequences, strict=False):
            assert (item.first, item.ids) == (whole.first, whole.ids[: len(item.ids)])
    assert first_sequences(sequences, 5) == tuple(sequences[:2])
    assert first_sequences(sequences, 6, whole=True) == tuple(sequences)


def test_the_model_writes_no_more_tokens_than_are_asked_for() -> None:
    for num_tokens, lengths in ((20, [20]), (70, [64]), (130, [64, 64])):
        texts = texts_of_model(loaded_tiny(), num_tokens=num_tokens, length=64)
        assert [len(item.ids) for item in texts.sequences] == lengths
