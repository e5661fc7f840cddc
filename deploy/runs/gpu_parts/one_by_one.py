"""Part G: what the plain way costs: a token at a time, one question in the batch.

transformers' own loop, its layers as they are and compiled over a cache of fixed size; and one
evaluation of the materialised model, which is what computing a doubtful verdict again costs.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import StaticCache

from gpu_parts.child import run_child
from gpu_parts.device import is_cuda, median_seconds, seconds_of
from gpu_parts.random_models import WordTask, random_model, word_examples
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet
from search_cluster.model.decoding import decode_greedily
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath

DTYPE = "bfloat16"
COMPILED_LAYERS = 4
"""Compiling takes seconds for each layer, so few are compiled, and compared with as few eager
ones."""
LAYERS_MS = f"{COMPILED_LAYERS}_layers_ms_a_token"
ROUNDS = 3


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part G."""
    # This process never touches the device, so that others can be forked from it.
    name, shape = next(iter(scale.shapes.items()))
    sheet.put("model", f"{name}, {shape['num_hidden_layers']} layers, {DTYPE}")

    def noted(message: tuple[str, Any]) -> None:
        sheet.put(*message)

    end = run_child(_plain, scale, device, limit_s=sheet.lent_s, take=noted)
    if end.trouble:
        sheet.lack("the rest", end.trouble)
        if not end.is_late:
            sheet.fail(f"a token at a time: {end.trouble}; see above")
    compiled = f"compiled_{LAYERS_MS}"
    if not is_cuda(device):
        sheet.lack(compiled, "compiling for a CPU takes longer than this part may")
        return
    # Compiling takes as long as it takes, so a process of its own is ended when time is up. The
    # compiler is not what is checked here.
    said: dict[str, Any] = {}
    end = run_child(_compiled, scale, device, limit_s=sheet.lent_s, take=said.update)
    if "error" in said or end.trouble:
        sheet.lack(compiled, said.get("error") or f"compiling: {end.trouble}")
    else:
        sheet.put("compiling_s", said["seconds"])
        sheet.put(compiled, said["ms"])


def _plain(scale: Scale, device: str, send: Callable[[Any], None]) -> None:
    shape, tokens = next(iter(scale.shapes.values())), scale.one_by_one_tokens
    loaded = random_model(shape, device=device, dtype=DTYPE)
    send(("eager_ms_a_token", _eager_ms(loaded, scale.prompt_rows, tokens)))
    _rechecks(scale, loaded, send)
    del loaded
    few = random_model(shape, device=device, dtype=DTYPE, num_layers=COMPILED_LAYERS)
    send((f"eager_{LAYERS_MS}", _eager_ms(few, scale.prompt_rows, tokens)))
    send((f"static_{LAYERS_MS}", _StaticLoop(few, few.model, tokens).ms()))


def _compiled(scale: Scale, device: str, send: Callable[[dict[str, Any]], None]) -> None:
    shape, tokens = next(iter(scale.shapes.values())), scale.one_by_one_tokens
    loaded = random_model(shape, device=device, dtype=DTYPE, num_layers=COMPILED_LAYERS)
    started_s = time.perf_counter()
    compiled = torch.compile(loaded.model, mode="reduce-overhead", dynamic=False)
    try:
        loop = _StaticLoop(loaded, compiled, tokens)
        loop.run()
        send({"seconds": round(time.perf_counter() - started_s, 1), "ms": loop.ms()})
    except Exception as error:
        send({"error": f"{type(error).__name__}: {str(error)[:200]}"})


def _rechecks(scale: Scale, loaded: LoadedModel, send: Callable[[Any], None]) -> None:
    """The milliseconds of one evaluation of the materialised model, by kind of answer."""
    num_rows, num_choices, choice_tokens = scale.choice_rows
    tokens = scale.one_by_one_tokens
    choices = word_examples(
        1, num_rows=num_rows, num_choices=num_choices, choice_tokens=choice_tokens
    )
    questions = word_examples(1, num_rows=scale.prompt_rows)
    path = LayerPath.identity(loaded.num_layers)
    for name, task, (example,) in (
        ("recheck_choice_ms", WordTask(), choices),
        (f"recheck_generated_{tokens}_ms", WordTask(max_new_tokens=tokens), questions),
    ):
        again = partial(evaluate_path, loaded, task, example, path)
        send((name, round(median_seconds(again, loaded.device, ROUNDS) * 1e3, 3)))


def _eager_ms(loaded: LoadedModel, num_rows: int, tokens: int) -> float:
    """The milliseconds of a token more, so without those of the prompt."""

    def decode(number: int) -> Callable[[], object]:
        ids = [1 + index % 50 for index in range(num_rows)]
        return lambda: decode_greedily(loaded.model, loaded.tokenizer, ids, max_new_tokens=number)

    decode(2)()
    short_s, long_s = (
        min(seconds_of(decode(number), loaded.device) for _ in range(ROUNDS))
        for number in (1, 1 + tokens)
    )
    return round((long_s - short_s) / tokens * 1e3, 3)


class _StaticLoop:
    """Decodes a number of tokens over a cache of fixed size, as compiled graphs need it."""

    def __init__(self, loaded: LoadedModel, model: Any, tokens: int) -> None:
        self._device, self._model, self._tokens = loaded.device, model, tokens
        self._cache = StaticCache(config=loaded.model.config, max_cache_len=tokens)
        self._token_11 = torch.ones(1, 1, dtype=torch.long, device=loaded.device)
        self._place_11 = torch.zeros(1, 1, dtype=torch.long, device=loaded.device)

    @torch.inference_mode()
    def run(self) -> None:
        """Decode once, each token read before the next one is run."""
        self._cache.reset()  # type: ignore[no-untyped-call]
        for number in range(self._tokens):
            self._place_11.fill_(number)
            logits_1TV = self._model(
                self._token_11,
                position_ids=self._place_11,
                past_key_values=self._cache,
                use_cache=True,
            ).logits
            self._token_11.copy_(logits_1TV[:, -1:].argmax(-1))
            self._token_11.item()

    def ms(self) -> float:
        """The milliseconds of a token."""
        return round(median_seconds(self.run, self._device, ROUNDS) / self._tokens * 1e3, 3)
