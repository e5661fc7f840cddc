"""A thousand mutations of good inputs: each is refused in one line, or says what was really loaded.

A mutated model folder either raises an error of this project or gives verdicts that equal those of
a plain transformers model of the same folder, computed here without any code of the engine; equal
fingerprints have equal verdicts. A mutated row is named or asks what it says; a mutated cache value
is a miss or the verdict itself.
"""

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask
from transformers import AutoModelForCausalLM

from search_cluster.cache.codec import VerdictDecodeError, decode_verdict, encode_verdict
from search_cluster.errors import SearchClusterError, error_line
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.simple import choice_task
from search_cluster.tasks.user_rows import rows_source
from search_cluster.tasks.verdict import Verdict

pytestmark = pytest.mark.slow
NUM_FOLDERS, NUM_ROWS, NUM_VALUES = 700, 200, 100


def many(number: int) -> settings:
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


REPEAT = LayerPath((0, 1, 2, 2, 3, 5), tiny.NUM_LAYERS)
WEIGHTS = "model.safetensors"
JSON_FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 4, 5, 6, 7, 8, 64, 299, 1e-5, 0.5, 3.0, "", "x", "llama",
    "qwen2", "gemma2", "granite", "<eos>", "<pad>", [], [1], [1, 2], ["x"], {},
    {"rope_type": "default"},
]  # fmt: skip
KEYS = (
    "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size", "model_type",
    "intermediate_size", "rms_norm_eps", "rope_parameters", "tie_word_embeddings", "hidden_act",
    "eos_token_id", "bos_token_id", "vocab_size", "max_position_embeddings", "head_dim", "mlp_bias",
    "attention_bias", "sliding_window", "layer_types", "final_logit_softcapping", "dtype",
    "quantization_config", "text_config", "transformers_weights", "auto_map", "chat_template",
    "eos_token", "bos_token", "unk_token", "added_tokens_decoder", "tokenizer_class",
    "extra_special_tokens", "local_files_only", "add_bos_token", "clean_up_tokenization_spaces",
    "split_special_tokens", "add_prefix_space", "note",
)  # fmt: skip
FRAGMENTS = (
    "{{", "}}", "{% for m in messages %}", "{% endfor %}", "<think>\n", "<eos>", "<start>", "\n",
    " ", "{{ raise_exception('no') }}", "{{ messages[0]['content'] }}", "{{ m }}", "x", "{#",
    "message",
    "{{ messages[0]['content'][0]['text'] }}", "{{ strftime_now('%Y') }}", "[THINK]",
    "user", "|trim",
)  # fmt: skip


class Mutation:
    """A change of a model folder."""

    def __init__(self, what: tuple[object, ...], apply: Callable[[Path], None]) -> None:
        self.what, self.apply = what, apply

    def __repr__(self) -> str:
        return f"Mutation{self.what}"


class Folder:
    """A good folder's files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def __repr__(self) -> str:
        return f"Folder of {len(self.files)} files"


@st.composite
def json_mutations(draw: st.DrawFn) -> Mutation:
    name = draw(st.sampled_from(JSON_FILES))
    steps = draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))
    key, value = draw(st.sampled_from(KEYS)), copy.deepcopy(draw(st.sampled_from(VALUES)))
    how = draw(st.sampled_from(("set", "set", "delete", "deep")))

    def mutate(folder: Path) -> None:
        settings_ = json.loads((folder / name).read_text())
        if how == "set":
            settings_[key] = value
        elif how == "delete":
            names = sorted(settings_)
            del settings_[names[steps[0] % len(names)]]
        else:
            _set_deep(settings_, steps, value)
        (folder / name).write_text(json.dumps(settings_))

    return Mutation((name, how, steps, key, value), mutate)


def _set_deep(values: Any, steps: list[int], value: Any) -> None:
    for index, step in enumerate(steps):
        places = list(values) if isinstance(values, dict) else range(len(values))
        if not places:
            return
        place = list(places)[step % len(places)]
        if index == len(steps) - 1 or not isinstance(values[place], dict | list):
            values[place] = value
            return
        values = values[place]


@st.composite
def byte_mutations(draw: st.DrawFn) -> Mutation:
    name = draw(st.sampled_from((*JSON_FILES, WEIGHTS, "chat_template.jinja")))
    place = draw(st.floats(0, 1, exclude_max=True))
    size, junk = draw(st.integers(0, 40)), draw(st.binary(max_size=8))

    def mutate(folder: Path) -> None:
        data = (folder / name).read_bytes()
        begin = int(place * len(data))
        (folder / name).write_bytes(data[:begin] + junk + data[begin + size :])

    return Mutation((name, place, size, junk), mutate)


@st.composite
def weight_mutations(draw: st.DrawFn) -> Mutation:
    index, other = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    how = draw(
        st.sampled_from(("drop", "rename", "swap", "scale", "nan", "cut", "half", "add", "zero"))
    )

    def mutate(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        names = sorted(weights)
        one, two = names[index % len(names)], names[other % len(names)]
        if how in ("drop", "rename"):
            moved = weights.pop(one)
            if how == "rename":
                weights[one.replace("layers.", "layers.1")] = moved
        elif how == "swap":
            weights[one], weights[two] = weights[two].clone(), weights[one].clone()
        elif how == "scale":
            weights[one] = weights[one] * 3
        elif how == "nan":
            weights[one].view(-1)[other % weights[one].numel()] = float("nan")
        elif how == "cut":
            weights[one] = weights[one][:-1].contiguous()
        elif how == "half":
            weights[one] = weights[one].half()
        elif how == "zero":
            weights[one] = torch.zeros_like(weights[one])
        else:
            weights[("v_head.x", "model.extra", "lm_head.weight")[other % 3]] = torch.ones(3)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})

    return Mutation((how, index, other), mutate)


@st.composite
def template_mutations(draw: st.DrawFn) -> Mutation:
    place = draw(st.floats(0, 1))
    size, fragment = draw(st.integers(0, 60)), draw(st.sampled_from(FRAGMENTS))

    def mutate(folder: Path) -> None:
        text = (folder / "chat_template.jinja").read_text()
        begin = int(place * len(text))
        (folder / "chat_template.jinja").write_text(text[:begin] + fragment + text[begin + size :])

    return Mutation((place, size, fragment), mutate)


@st.composite
def file_mutations(draw: st.DrawFn) -> Mutation:
    name = draw(
        st.sampled_from(
            (
                "adapter_config.json", "adapter_model.safetensors", "model.safetensors.index.json",
                "evil.py", "additional_chat_templates/default.jinja", "special_tokens_map.json",
                "additional_chat_templates/rag.jinja", "added_tokens.json", "chat_template.json",
                "tokenizer.model", "vocab.json", "merges.txt", "pytorch_model.bin",
                "preprocessor_config.json", "processor_config.json",
            )
        )
    )  # fmt: skip
    content = draw(
        st.sampled_from(
            ("{}", "[]", "", '{"weight_map": {}}', '{"r": 4}', "{{ messages[0]['content'] }}", "x")
        )
    )

    def mutate(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)

    return Mutation((name, content), mutate)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = tiny.save_tiny_model(tmp_path_factory.mktemp("good") / "model", chat=True)
    return Folder({path.name: path.read_bytes() for path in folder.iterdir()})


@pytest.fixture(scope="module")
def seen() -> dict[str, tuple[str, float | None]]:
    """The verdict of each fingerprint."""
    return {}


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    return {"refused": 0, "loaded": 0}


def reference_scores(folder: Path, loaded: LoadedModel) -> list[float]:
    """Each choice's mean log-probability by transformers alone, one plain pass a choice."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    encoded = encode_example(loaded, ChoiceTask(), CAPITAL)
    num_context, scores = len(encoded.context_ids), []
    for ids in encoded.choice_ids:
        tokens_BT = torch.tensor([encoded.context_ids + ids])
        with torch.no_grad():
            log_probs_TV = model(tokens_BT, use_cache=False).logits[0].log_softmax(-1)
        rows = torch.arange(num_context - 1, num_context - 1 + len(ids))
        scores.append(float(log_probs_TV[rows, torch.tensor(ids)].mean()))
    return scores


@many(NUM_FOLDERS)
@given(
    mutations=st.lists(
        st.one_of(
            json_mutations(),
            byte_mutations(),
            weight_mutations(),
            template_mutations(),
            file_mutations(),
        ),
        min_size=1,
        max_size=2,
    )
)
def test_loading_a_mutated_folder_is_refused_or_gives_the_verdicts_of_what_was_loaded(
    mutations: list[Mutation],
    good: Folder,
    seen: dict[str, tuple[str, float | None]],
    counts: dict[str, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    for name, data in good.files.items():
        (folder / name).write_bytes(data)
    for mutation in mutations:
        with suppress(Exception):  # the first mutation may leave nothing for the second to change
            mutation.apply(folder)
    try:
        loaded = load_model(str(folder), device="cpu")
        ((plain, repeated)) = PathExecutor(loaded, ChoiceTask()).evaluate(
            [(CAPITAL, LayerPath.identity(loaded.num_layers)), (CAPITAL, REPEAT)]
        )
        for outcome in (plain, repeated):
            if isinstance(outcome, SearchClusterError):
                raise outcome
    except SearchClusterError as error:
        require_one_line(error)
        counts["refused"] += 1
        return
    assert isinstance(plain, Verdict), plain
    assert isinstance(repeated, Verdict), repeated
    counts["loaded"] += 1
    scores = reference_scores(folder, loaded)
    gap = scores[CAPITAL.gold_index] - max(
        score for index, score in enumerate(scores) if index != CAPITAL.gold_index
    )
    assert plain.margin == pytest.approx(gap, abs=1e-4)
    best = sorted(scores)
    if best[-1] - best[-2] > 1e-4:
        assert plain.output == CAPITAL.choices[scores.index(max(scores))]
    assert evaluate_path(loaded, ChoiceTask(), CAPITAL, REPEAT).output == repeated.output
    verdict = (plain.output, plain.margin)
    assert seen.setdefault(loaded.fingerprint, verdict) == verdict


def test_loading_mutated_folders_met_both_ends(counts: dict[str, int]) -> None:
    assert min(counts.values()) > 100, counts


def require_one_line(error: SearchClusterError) -> None:
    line = error_line(error)
    assert "\n" not in line
    assert len(line) < 1000


ANSWERS = st.one_of(
    st.sampled_from(
        ["Rome", "Paris", "rome", "B", "b", "2", 0, 1, 2, 3, -1, 1.0, True, None, [], ""]
    ),
    st.text(max_size=5),
)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "question": st.one_of(st.text(max_size=30), st.sampled_from(["What?", 7, None, ["x"]])),
        "choices": st.one_of(
            st.lists(
                st.one_of(st.text(max_size=6), st.sampled_from(["Rome", "Paris", "1", "2", 3])),
                max_size=4,
            ),
            st.sampled_from(["Rome", None, {"A": "x"}]),
        ),
        "answer": ANSWERS,
        "split": st.sampled_from(["train", "test", "dev", "", None, 3]),
        "extra": st.integers(),
    },
)


@many(NUM_ROWS)
@given(row=ROWS)
def test_gold_of_a_mutated_row_is_named_as_malformed_or_is_what_the_row_says(row: object) -> None:
    task = choice_task(name="own", description="d", chat="{question}", source=rows_source([row]))
    try:
        found = [task.load(split, None) for split in ("train", "validation", "test")]
    except SearchClusterError as error:
        require_one_line(error)
        return
    for example in (example for part in found for example in part.examples):
        assert isinstance(row, dict)
        assert example.gold == example.choices[example.gold_index or 0]
        answer = row["answer"]
        assert example.gold == answer or (
            isinstance(answer, int) and example.choices[answer] == example.gold
        )


@many(NUM_VALUES)
@given(
    reward=st.sampled_from([0.0, 0.5, 1.0]),
    margin=st.one_of(st.none(), st.floats(-50, 50)),
    output=st.text(max_size=80),
    place=st.floats(0, 1),
    size=st.integers(0, 4),
    junk=st.binary(max_size=4),
)
def test_identity_of_a_mutated_cache_value_is_a_miss_or_the_value_itself(
    reward: float, margin: float | None, output: str, place: float, size: int, junk: bytes
) -> None:
    verdict = Verdict(reward=reward, margin=margin, output=output, num_layer_tokens=60)
    data = encode_verdict(verdict)
    begin = int(place * len(data))
    changed = data[:begin] + junk + data[begin + size :]
    try:
        found = decode_verdict(changed)
    except VerdictDecodeError:
        return
    # What decodes is a canonical verdict: nothing else ever has these bytes.
    assert encode_verdict(found) == changed
    assert (found == verdict) == (changed == data)
