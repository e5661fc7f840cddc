"""``search-cluster lens show``: what a lens reads of a text after each layer of a path."""

from collections.abc import Sequence
from typing import Any

from search_cluster.commands.lens.judge import named_lens
from search_cluster.commands.lens.settings import LensShowConfig
from search_cluster.commands.model import load_configured
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.model.lens.show import TextReadings, read_sequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example, encode_prompt_text
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.report.lens.view import LensRow, LensView
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.registry import get_task


def read_text(config: SearchConfig, shown: LensShowConfig, *, lens: str) -> LensView:
    """Read a text, or a task's question with its right choice.

    Raises:
        SearchClusterError: model, lens, path or text can't be used.
    """
    loaded = load_configured(config)
    named = named_lens(lens, loaded)
    path = (
        LayerPath.identity(loaded.num_layers)
        if shown.path is None
        else parse_path(shown.path, loaded.num_layers)
    )
    source, ids = _text(loaded, config, shown)
    readings = read_sequence(loaded.model, named, ids, path)
    num_shown = len(ids) if shown.last is None else min(shown.last, len(ids))
    return LensView(
        model=loaded.spec,
        lens=lens,
        kind=named.kind.value,
        path=str(path),
        source=source,
        tokens=tuple(token_texts(loaded, ids)[-num_shown:]),
        rows=tuple(
            _row(loaded, readings, place, num_shown) for place in range(len(readings.depths))
        ),
    )


def token_texts(loaded: LoadedModel, ids: Sequence[int]) -> list[str]:
    """Each token as text, alone."""
    return [
        str(loaded.tokenizer.decode([token], clean_up_tokenization_spaces=False)) for token in ids
    ]


def _row(loaded: LoadedModel, readings: TextReadings, place: int, num_shown: int) -> LensRow:
    read, depth = readings.read, readings.depths[place]
    positions = slice(-num_shown, None)

    def numbers(values_SN: Any, digits: int) -> tuple[float, ...]:
        return tuple(round(value, digits) for value in values_SN[place, positions].tolist())

    return LensRow(
        place=place,
        layer=None if place == 0 else depth - 1,
        depth=depth,
        top=tuple(token_texts(loaded, read.top_SN[place, positions].tolist())),
        top_probability=numbers(read.top_probability_SN, 6),
        entropy=numbers(read.entropy_SN, 4),
        divergence=numbers(read.divergence_SN, 4),
        final_rank=tuple(read.rank_SNK[place, positions, 0].tolist()),
        next_rank=(*read.rank_SNK[place, positions, 1].tolist()[:-1], None),
    )


def _text(
    loaded: LoadedModel, config: SearchConfig, shown: LensShowConfig
) -> tuple[str, tuple[int, ...]]:
    if shown.text is not None:
        return shown.text, encode_prompt_text(loaded, shown.text)
    assert shown.task is not None  # settings have one of them
    task = get_task(shown.task)
    examples = task.load(shown.split, resolve_data_dir(config.data_dir)).examples
    if shown.example >= len(examples):
        raise ConfigError(
            f"example is {shown.example}; {shown.split} of task {task.name} has questions "
            f"0..{len(examples) - 1}"
        )
    example = examples[shown.example]
    encoded = encode_example(loaded, task, example)
    answer = encoded.choice_ids[example.gold_index or 0] if encoded.choice_ids else ()
    source = f"{task.name}, {shown.split} question {shown.example}: {example.question}"
    return source, (*encoded.context_ids, *answer)
