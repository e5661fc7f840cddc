"""EleutherAI's harness on a routed model: a tiny random model, tasks in local files."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.router_corpus import tiny_loaded

pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # the harness and what it imports warn

from lm_eval import simple_evaluate  # noqa: E402 - only where the extra is installed
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from router_train.commands.lm_eval import HarnessOptions, run_harness  # noqa: E402
from router_train.evaluation.lm_eval import RoutedLM  # noqa: E402
from router_train.inference.routed_model import RoutedModel  # noqa: E402
from router_train.routers.base import RoutedPath  # noqa: E402
from router_train.routers.fixed import FixedRouter  # noqa: E402
from search_cluster.errors import ConfigError  # noqa: E402
from search_cluster.model.loaded import LoadedModel  # noqa: E402
from search_cluster.model.materialise import materialise  # noqa: E402
from search_cluster.paths.layer_path import LayerPath  # noqa: E402

IDENTITY, SHORT, TWICE = (
    LayerPath(layers, 6) for layers in ((0, 1, 2, 3, 4, 5), (0, 1, 3, 5), (0, 1, 1, 2, 3, 4, 5))
)
CHOICE = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: label
doc_to_choice: "{{{{choices}}}}"
metric_list: [{{metric: acc}}]
"""
GENERATE = """
task: tiny_generate
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
generation_kwargs: {{until: ["."], max_gen_toks: 4, do_sample: false}}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[label]}}}}"
metric_list: [{{metric: exact_match}}]
"""
ROWS = [
    {
        "question": f"What is the capital number {number}?",
        "choices": ["Paris", "a city of France", "x"],
        "label": 1,
    }
    for number in range(7)
]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> TaskManager:
    return TaskManager(
        include_path=str(task_folder(tmp_path_factory.mktemp("tasks"))), include_defaults=False
    )


def task_folder(folder: Path) -> Path:
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "choice.yaml").write_text(CHOICE.format(data=data))
    (folder / "generate.yaml").write_text(GENERATE.format(data=data))
    return folder


def judged(lm: Any, manager: TaskManager) -> list[tuple[Any, Any]]:
    """Every sample's answers, filtered and raw."""
    found = simple_evaluate(
        model=lm,
        tasks=["tiny_choice", "tiny_generate"],
        task_manager=manager,
        bootstrap_iters=0,
        batch_size=3,
    )
    assert found is not None
    return [
        (row["resps"], row["filtered_resps"])
        for name in found["samples"]
        for row in found["samples"][name]
    ]


def close(first: Sequence[Any], second: Sequence[Any]) -> None:
    assert len(first) == len(second) == 2 * len(ROWS)
    for (one, _), (other, _) in zip(first, second, strict=True):
        flat_one, flat_other = (str(value) for value in (one, other))
        if "(" not in flat_one:
            assert flat_one == flat_other
            continue
        for ((log_prob, greedy),), ((other_log_prob, other_greedy),) in zip(
            one, other, strict=True
        ):
            assert log_prob == pytest.approx(other_log_prob, abs=1e-4)
            assert greedy == other_greedy


@pytest.mark.parametrize("path", [IDENTITY, SHORT, TWICE], ids=str)
def test_a_path_for_all_answers_as_the_materialised_model(
    loaded: LoadedModel, manager: TaskManager, path: LayerPath
) -> None:
    routed = RoutedLM(loaded, RoutedModel(loaded, FixedRouter(path)), batch_size=3)
    plain = HFLM(
        pretrained=materialise(loaded.model, path), tokenizer=loaded.tokenizer, batch_size=3
    )
    close(judged(routed, manager), judged(plain, manager))
    assert routed.path_lengths == [len(path)] * (4 * len(ROWS))


class ByLastToken:
    """The short path where the prompt's last token is even; keeps the prompts."""

    def __init__(self) -> None:
        self.prompts: list[tuple[int, ...]] = []

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        self.prompts.append(tuple(context_ids))
        path = SHORT if sum(context_ids) % 2 == 0 else IDENTITY
        return RoutedPath(path=path, confidence=1.0, num_fallbacks=0, num_layer_tokens=0)

    def settings(self) -> dict[str, int | float | str]:
        return {}

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}


def test_the_router_sees_contexts_and_no_answer(loaded: LoadedModel, manager: TaskManager) -> None:
    router = ByLastToken()
    lm = RoutedLM(loaded, RoutedModel(loaded, router), batch_size=2)
    answers = judged(lm, manager)
    asked = {tuple(lm.tok_encode(row["question"])) for row in ROWS}
    assert set(router.prompts) == asked
    assert len(router.prompts) == 2 * len(ROWS)
    expected = []
    for path in (SHORT, IDENTITY):
        fixed = RoutedLM(loaded, RoutedModel(loaded, FixedRouter(path)), batch_size=2)
        expected.append(judged(fixed, manager))
    taken = [0 if sum(lm.tok_encode(row["question"])) % 2 == 0 else 1 for row in ROWS] * 2
    assert {0, 1} == set(taken), "questions that all take one path test nothing: write others"
    close(answers, [expected[path][place] for place, path in enumerate(taken)])


def test_a_context_that_does_not_fit_is_cut_as_the_harness_does(loaded: LoadedModel) -> None:
    lm = RoutedLM(loaded, RoutedModel(loaded, FixedRouter(SHORT)), batch_size=2)
    plain = HFLM(
        pretrained=materialise(loaded.model, SHORT), tokenizer=loaded.tokenizer, batch_size=2
    )
    long = [number % 50 + 3 for number in range(lm.max_length + 20)]
    requests = [(("a", "b"), long, [5, 6, 7]), (("a", "c"), long, [9]), (("d", "e"), [4, 5], [6])]
    ours, theirs = lm._loglikelihood_tokens(requests), plain._loglikelihood_tokens(requests)
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=1e-4)


def harness_on(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, folder: Path, **more: Any
) -> Callable[[HarnessOptions], None]:
    """The command with a model and a router that need no files."""
    from router_train.commands import lm_eval as harness_command
    from router_train.evaluation import harness_tasks
    from router_train.inference.model_choice import ModelChoice

    # Reading the harness' own thousands of files takes long.
    own_only = partial(TaskManager, include_defaults=False)
    monkeypatch.setattr(harness_tasks, "TaskManager", own_only)

    class Meta:
        model_spec, model_dtype, kind, chat = "tiny", "float32", "static", ""
        inputs = type("Inputs", (), {"task": "capitals"})

    monkeypatch.setattr(harness_command, "read_meta", lambda folder: Meta)
    monkeypatch.setattr(
        harness_command, "load_router", lambda folder, model: (FixedRouter(SHORT), Meta)
    )
    monkeypatch.setattr(ModelChoice, "load", lambda self, spec, dtype, chat: loaded)
    choice = ModelChoice(spec=None, device="cpu", dtype=None, trust_remote_code=False)
    settings = {"out": None, "json_output": True, **more}
    return lambda options: run_harness(folder, options, choice, **settings)


def test_the_command_judges_both_models(
    loaded: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = harness_on(loaded, monkeypatch, tmp_path, out=tmp_path / "out" / "harness.json")
    options = HarnessOptions(
        tasks=("tiny_choice", "tiny_generate"), include_path=task_folder(tmp_path), limit=4,
        num_fewshot=None, apply_chat_template=False, batch_size=2, threshold=0.0, plain=True,
    )  # fmt: skip
    command(options)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "out" / "harness.json").read_text()) == result
    assert result["layers_saved_share"] == pytest.approx(1 / 3)
    for side in ("routed", "plain"):
        assert set(result[side]) == {"tiny_choice", "tiny_generate"}
        assert 0 <= result[side]["tiny_choice"]["acc"] <= 1
        assert 0 <= result[side]["tiny_generate"]["exact_match"] <= 1


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (None, {"tasks": ("no_such_task",)}, "the harness knows no task no_such_task; name its"),
        (
            "number_fewshot: 3\nmetric_list:",
            {},
            "the harness can't load the task tiny_choice: TypeError: .*number_fewshot.*; correct",
        ),
        ("output_type: guess\nmetric_list:", {}, "the harness can't load the task tiny_choice: "),
        (
            "metric_list: [{metric: accuracies}] #",
            {},
            "the harness can't load the task tiny_choice: Key",
        ),
        (None, {"num_fewshot": 50}, "num_fewshot is 50; the task tiny_choice has 7 examples to"),
        (
            "fewshot_split: test\nmetric_list:",
            {"num_fewshot": 7},
            "num_fewshot is 7; the task tiny_choice has 6 examples to show: ask for no more",
        ),
        ("num_fewshot: 8\nmetric_list:", {}, "num_fewshot is 8; the task tiny_choice has 7 ex"),
        (
            "doc_to_text: '{{no_field.text}}'\nmetric_list:",
            {},
            "the harness can't load the task tiny_choice: UndefinedError: .*no_field.*; correct",
        ),
        (None, {"include_path": Path("/no/such/folder")}, "--include-path /no/such/folder is no "),
        (
            None,
            {"apply_chat_template": True},
            "--apply-chat-template asks in the chat template of model 'tiny.*', which has none",
        ),
    ],
)
def test_machine_what_the_harness_cannot_do_is_one_line(
    loaded: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str | None,
    options: dict[str, Any],
    said: str,
) -> None:
    command = harness_on(loaded, monkeypatch, tmp_path)
    folder = task_folder(tmp_path)
    if change is not None:
        text = (folder / "choice.yaml").read_text()
        if change.startswith(("output_type", "doc_to_text")):
            field = change.partition(":")[0]
            text = "\n".join(line for line in text.splitlines() if not line.startswith(field))
        (folder / "choice.yaml").write_text(text.replace("metric_list:", change))
    asked = {"tasks": ("tiny_choice",), "include_path": folder, "limit": 2, "plain": False}
    with pytest.raises(ConfigError, match=f"^{said}") as error:
        command(HarnessOptions(**{**asked, **options}))
    assert "\n" not in str(error.value)


def test_machine_as_many_examples_as_there_are_may_be_shown(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = harness_on(loaded, monkeypatch, tmp_path)
    folder = task_folder(tmp_path)
    command(
        HarnessOptions(
            tasks=("tiny_choice",), include_path=folder, limit=1, num_fewshot=7, plain=False
        )
    )
