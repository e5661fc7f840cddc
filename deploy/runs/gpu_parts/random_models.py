"""Models with random weights, built where they run, and questions of a given number of tokens.

Speed does not depend on what the weights are, and nothing has to be downloaded. A word is a token.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from gpu_parts.scale import Shape
from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.runtime import use_exact_products
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, LoadedExamples, Prompt

NUM_WORDS = 400
UNKNOWN = "<unknown>"


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Text is words between spaces, each a token of its own; nothing ends an answer."""
    words = {UNKNOWN: 0, **{f"w{number}": number for number in range(1, NUM_WORDS)}}
    backend = Tokenizer(WordLevel(words, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece(prefix="", cleanup=False)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, unk_token=UNKNOWN
    )


def random_model(
    shape: Shape, *, device: str, dtype: str = "bfloat16", num_layers: int | None = None
) -> LoadedModel:
    """A model of that shape, with fewer layers if that is asked for, built on the device.

    Its float32 products are exact, whatever this machine's environment asks for, as workers' are.
    """
    use_exact_products(device)
    depth = num_layers or shape["num_hidden_layers"]
    settings = {**shape, "num_hidden_layers": depth, "eos_token_id": None, "bos_token_id": None}
    config = AutoConfig.for_model(**settings)
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config,
            dtype=getattr(torch, dtype),
            attn_implementation=anatomy_of(config).attention_kernel,
        )
    return LoadedModel(
        model=model.eval().requires_grad_(False),
        tokenizer=word_tokenizer(),
        spec=f"random-{shape['model_type']}",
        fingerprint="0" * 32,
        num_layers=depth,
        chat=False,
        device=device,
        dtype=dtype,
    )


def save_folder(loaded: LoadedModel, folder: Path) -> int:
    """Write the model as users' folders are; returns the bytes of the weights."""
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTask:
    """Questions of random words. Whatever is answered, a word decides the reward."""

    max_new_tokens: int = 0
    """0: choices are scored."""
    name: str = "words"
    version: str = "1"
    stop_strings: tuple[str, ...] = ()
    description: str = "random words"

    @property
    def kind(self) -> AnswerKind:
        """Generated if there are new tokens."""
        return AnswerKind.GENERATE if self.max_new_tokens else AnswerKind.CHOICE

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        """None: see `word_examples`."""
        return LoadedExamples(examples=())

    def prompt(self, example: Example) -> Prompt:
        """The question itself, so that no two examples begin alike."""
        return Prompt(chat=example.question, plain=example.question, choices=example.choices)

    def grade(self, example: Example, output: str) -> float:
        """1 for the gold answer."""
        return float(output == example.gold)


def word_examples(
    count: int, *, num_rows: int, num_choices: int = 0, choice_tokens: int = 1, seed: int = 0
) -> list[Example]:
    """Different questions of ``num_rows`` tokens each, with choices of as many tokens as asked."""
    rng = random.Random(seed)

    def words(number: int) -> str:
        return " ".join(f"w{rng.randrange(1, NUM_WORDS)}" for _ in range(number))

    examples = []
    for _ in range(count):
        choices = tuple(words(choice_tokens) for _ in range(num_choices))
        examples.append(
            Example(
                task="words",
                question=words(num_rows),
                choices=choices,
                gold=choices[0] if choices else words(1),
                gold_index=0 if choices else None,
                split="test",
                source="random",
            )
        )
    return examples


def searched_like_paths(num_layers: int, count: int, seed: int = 0) -> list[LayerPath]:
    """The plain path and others that skip or repeat up to four layers, as searches propose them."""
    rng = random.Random(seed)
    paths = {LayerPath.identity(num_layers): None}
    while len(paths) < count:
        decisions = [1] * num_layers
        for _ in range(rng.randint(1, 4)):
            decisions[rng.randrange(num_layers)] = rng.choice((0, 2))
        if any(decisions):
            paths[LayerPath.from_decisions(tuple(decisions))] = None
    return list(paths)
