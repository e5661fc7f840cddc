"""What training sees of questions: what a lens reads at each depth, and how exits there answer.

Shapes: N questions, K depths, R readings, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from router_train.data.progress import track
from router_train.routers.early_exit.router import exit_path
from router_train.routers.lens_exit.readings import first_tokens, read_logits_of, told_apart
from router_train.routers.lens_exit.router import exit_bridges
from search_cluster.errors import NonFiniteLogitsError, PromptError
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.device_memory import default_state_bytes
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.head import float32_logits
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.lens.fitting.ridge import fit_ridge
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

FIRST_DEPTH_SHARE = 0.6
"""No exit is tried before this share of the layers."""
BATCH_SIZE = 8
"""The number of questions whose exits are answered together."""


def exit_depths(num_layers: int) -> tuple[int, ...]:
    """The numbers of layers behind which an exit is tried; at least one where there are 2 layers."""
    first = min(max(1, round(FIRST_DEPTH_SHARE * num_layers)), num_layers - 1)
    return tuple(range(first, num_layers))


def at_depths(lens: Lens, depths: Sequence[int]) -> Lens:
    """The translators of some depths, in their order."""
    chosen = torch.tensor(depths)
    return Lens(
        kind=lens.kind,
        weight_LDD=lens.weight_LDD[chosen].float().cpu(),
        bias_LD=lens.bias_LD[chosen].float().cpu(),
    )


def fit_task_lens(loaded: LoadedModel, task: Task, examples: Sequence[Example]) -> Lens:
    """A lens in closed form, fitted to these questions with all of their choices.

    Where answers are generated it is fitted to the gold answers behind the prompts, too.
    """
    sequences: list[TokenSequence] = []
    for example in examples:
        try:
            encoded = encode_example(loaded, task, example)
        except PromptError:
            continue
        gold = loaded.tokenizer(example.gold, add_special_tokens=False)["input_ids"]
        first = 0
        for answer in encoded.choice_ids or (tuple(gold)[: task.max_new_tokens],):
            sequences.append(TokenSequence(ids=(*encoded.context_ids, *answer), first=first))
            first = len(encoded.context_ids)  # the context counts once
    bar = track(range(len(sequences)), "texts of questions, to which the lens is fitted")
    shown = iter(bar)
    seen = 0

    def progress(num_sequences: int) -> None:
        nonlocal seen
        while seen < num_sequences and next(shown, None) is not None:
            seen += 1

    return fit_ridge(loaded.model, sequences, progress=progress).lens


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExitObserver:
    """Observes questions at some depths."""

    loaded: LoadedModel
    task: Task
    depths: tuple[int, ...]
    lens: Lens
    """One translator for each of the depths."""

    def observe(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Readings and verdicts; all depths of a question share one pass of the engine.

        Returns:
            ``choices_NKR`` and ``vocabulary_NKR``, the readings of the first tokens of the choices
            (zeros without choices) and of the vocabulary; ``told_apart_N``; ``right_NK`` and
            ``agrees_NK``, whether the answer through the lens is right, and the plain model's;
            ``plain_N``, whether that is right; and ``num_tokens_N``, of prompt and answer.
        """
        bridged = with_bridges(
            self.loaded, exit_bridges(self.depths, self.lens, self.loaded.num_layers)
        )
        executor = PathExecutor(bridged, self.task, max_state_bytes=default_state_bytes(bridged))
        num_layers = self.loaded.num_layers
        paths = [exit_path(depth, num_layers) for depth in (*self.depths, num_layers)]
        batches = [
            examples[first : first + BATCH_SIZE] for first in range(0, len(examples), BATCH_SIZE)
        ]
        readings: list[tuple[Tensor, Tensor, float]] = []
        outcomes: list[Outcome] = []
        for batch in track(batches, f"batches of {BATCH_SIZE} questions, stopped at each depth"):
            readings += [self._read(example) for example in batch]
            outcomes += executor.evaluate([(example, path) for example in batch for path in paths])
        verdicts = [_verdict(outcome) for outcome in outcomes]
        rows = [
            verdicts[first : first + len(paths)] for first in range(0, len(verdicts), len(paths))
        ]
        right = [[verdict is not None and verdict.is_correct for verdict in row] for row in rows]
        agrees = [
            [verdict is not None and verdict.output == _output(row[-1]) for verdict in row]
            for row in rows
        ]
        num_tokens = [
            max(
                (verdict.num_layer_tokens // len(path) for verdict, path in pairs if verdict),
                default=1,
            )
            for pairs in (list(zip(row, paths, strict=True)) for row in rows)
        ]
        right_N = torch.tensor(right, dtype=torch.uint8)
        return {
            "choices_NKR": torch.stack([choices for choices, _, _ in readings]),
            "vocabulary_NKR": torch.stack([vocabulary for _, vocabulary, _ in readings]),
            "told_apart_N": torch.tensor([apart for _, _, apart in readings]),
            "right_NK": right_N[:, :-1].contiguous(),
            "agrees_NK": torch.tensor(agrees, dtype=torch.uint8)[:, :-1].contiguous(),
            "plain_N": right_N[:, -1].contiguous(),
            "num_tokens_N": torch.tensor(num_tokens),
        }

    def _read(self, example: Example) -> tuple[Tensor, Tensor, float]:
        model = self.loaded.model
        encoded = encode_example(self.loaded, self.task, example)
        rows = []
        with torch.inference_mode():
            prompt_pass = LayerwisePass(
                model, torch.tensor([list(encoded.context_ids)], device=model.device)
            )
            for layer in range(self.depths[-1]):
                prompt_pass.step(layer)
                if layer + 1 in self.depths:
                    place = self.depths.index(layer + 1)
                    rows.append(self.lens.translate(prompt_pass.hidden_BTD[0, -1], place))
            logits_KV = float32_logits(model, model.model.norm(torch.stack(rows)))
        vocabulary_KR = read_logits_of(logits_KV, ())
        tokens = first_tokens(encoded.choice_ids)
        choices_KR = (
            read_logits_of(logits_KV[:, list(tokens)], tokens)
            if tokens
            else torch.zeros_like(vocabulary_KR)
        )
        return choices_KR, vocabulary_KR, told_apart(encoded.choice_ids)


def _verdict(outcome: Outcome) -> Verdict | None:
    """The verdict, ``None`` where there is none because a logit was not finite."""
    if isinstance(outcome, Exception) and not isinstance(outcome, NonFiniteLogitsError):
        raise outcome
    return outcome if isinstance(outcome, Verdict) else None


def _output(verdict: Verdict | None) -> str | None:
    return None if verdict is None else verdict.output
