"""What training sees of questions: what a lens reads at each depth, and how exits there answer.

Shapes: N questions, K depths, R readings, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from router_train.routers.lens_exit.answer_rows import AnswerRecorder
from router_train.routers.lens_exit.exit_paths import exit_bridges, path_to
from router_train.routers.lens_exit.readings import first_tokens, read_logits_of, told_apart
from search_cluster.console import track
from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.device_memory import default_state_bytes
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.head import float32_logits
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.states import walk_states
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExitObserver:
    """Observes questions at some depths."""

    loaded: LoadedModel
    task: Task
    path: LayerPath
    depths: tuple[int, ...]
    """Numbers of the path's layers."""
    lens: Lens
    """One translator for each of the depths."""

    def observe(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Readings and verdicts.

        Returns:
            ``choices_NKR`` and ``vocabulary_NKR``, the readings of the first tokens of the choices
            (zeros without choices) and of the vocabulary; ``told_apart_N``; ``right_NK`` and
            ``agrees_NK``, whether the answer through the lens is right, and that at the path's end;
            ``plain_N``, whether the latter is right; and ``num_tokens_N``, of prompt and answer.
        """
        if self.task.kind is AnswerKind.CHOICE:
            recorder = AnswerRecorder(self.loaded, self.path)
            rows = [
                self._of_choices(recorder, example)
                for example in track(examples, "questions, read at each depth")
            ]
        else:
            rows = self._of_generated(examples)
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def _of_choices(self, recorder: AnswerRecorder, example: Example) -> dict[str, Tensor]:
        """One pass over prompt and choices; every depth scores the choices through the lens."""
        encoded = encode_example(self.loaded, self.task, example)
        found = recorder.record(encoded)
        plain = example.choices[_best(found.scores)]
        outputs: list[str | None] = []
        last_rows = []
        with torch.inference_mode():
            for place, depth in enumerate(self.depths):
                logits_NV = self._logits(found.states_SND[depth], place)
                last_rows.append(logits_NV[0])
                if not bool(logits_NV.isfinite().all()):
                    outputs.append(None)
                    continue
                scores = found.scores_of(logits_NV.log_softmax(dim=-1), encoded.choice_ids)
                outputs.append(example.choices[_best(scores)])
        return self._row(
            example,
            torch.stack(last_rows),
            encoded,
            outputs=outputs,
            plain=plain,
            num_tokens=encoded.num_tokens,
        )

    def _of_generated(self, examples: Sequence[Example]) -> list[dict[str, Tensor]]:
        """Answers by the engine, in which all depths of a question share their layers."""
        bridged = with_bridges(self.loaded, exit_bridges(self.path, self.depths, self.lens))
        executor = PathExecutor(bridged, self.task, max_state_bytes=default_state_bytes(bridged))
        paths = [*(path_to(self.path, depth) for depth in self.depths), self.path]
        rows = []
        for example in track(examples, "questions, stopped at each depth"):
            verdicts = [
                _verdict(outcome)
                for outcome in executor.evaluate([(example, path) for path in paths])
            ]
            *outputs, plain = [None if verdict is None else verdict.output for verdict in verdicts]
            last = verdicts[-1]
            encoded = encode_example(self.loaded, self.task, example)
            rows.append(
                self._row(
                    example,
                    self._last_rows(encoded),
                    encoded,
                    outputs=outputs,
                    plain=plain,
                    num_tokens=encoded.num_tokens
                    if last is None
                    else last.num_layer_tokens // len(self.path),
                )
            )
        return rows

    def _row(
        self,
        example: Example,
        logits_KV: Tensor,
        encoded: EncodedExample,
        *,
        outputs: Sequence[str | None],
        plain: str | None,
        num_tokens: int,
    ) -> dict[str, Tensor]:
        """What `observe` says of one question; an output is ``None`` where there is no answer."""
        vocabulary_KR = read_logits_of(logits_KV, ())
        tokens = first_tokens(encoded.choice_ids)
        right = [output is not None and self._is_right(example, output) for output in outputs]
        agrees = [output is not None and output == plain for output in outputs]
        return {
            "choices_NKR": read_logits_of(logits_KV[:, list(tokens)], tokens)
            if tokens
            else torch.zeros_like(vocabulary_KR),
            "vocabulary_NKR": vocabulary_KR,
            "told_apart_N": torch.tensor(told_apart(encoded.choice_ids)),
            "right_NK": torch.tensor(right, dtype=torch.uint8),
            "agrees_NK": torch.tensor(agrees, dtype=torch.uint8),
            "plain_N": torch.tensor(
                plain is not None and self._is_right(example, plain), dtype=torch.uint8
            ),
            "num_tokens_N": torch.tensor(num_tokens),
        }

    def _is_right(self, example: Example, output: str) -> bool:
        return self.task.grade(example, output) >= 1

    def _last_rows(self, encoded: EncodedExample) -> Tensor:
        """The logits ``[K, V]`` that the lens reads of the prompt's last row."""
        model = self.loaded.model
        input_ids = torch.tensor([list(encoded.context_ids)], device=model.device)
        path = path_to(self.path, self.depths[-1])
        with torch.inference_mode():
            states = [state[0, -1:] for state in walk_states(model, input_ids, path)]
            rows = [self._logits(states[depth], place) for place, depth in enumerate(self.depths)]
        return torch.cat(rows)

    def _logits(self, hidden_ND: Tensor, place: int) -> Tensor:
        model = self.loaded.model
        return float32_logits(model, model.model.norm(self.lens.translate(hidden_ND, place)))


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)  # the first of equals


def _verdict(outcome: Outcome) -> Verdict | None:
    """The verdict, ``None`` where there is none because a logit was not finite."""
    if isinstance(outcome, Exception) and not isinstance(outcome, NonFiniteLogitsError):
        raise outcome
    return outcome if isinstance(outcome, Verdict) else None
