"""What a model card claims, against what was written and what is known."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from router_train.config import FitConfig
from router_train.export.card import plain_card, routed_card
from router_train.export.evaluations import CardEvaluation, read_evaluations
from router_train.routers.checkpoint import RouterInputs, RouterMeta
from search_cluster.errors import ConfigError
from search_cluster.model.portable.base import CardBase
from search_cluster.model.portable.checkpoint import WrittenCheckpoint
from search_cluster.model.portable.licence import Licence, licence_of
from search_cluster.model.portable.versions import TESTED

META = RouterMeta(
    inputs=RouterInputs(
        model_fingerprint="f" * 32,
        corpus_digest="c" * 16,
        task="fruit",
        task_version="1",
        config=FitConfig(router="static"),
    ),
    model_spec="/home/somebody/models/tiny",
    model_dtype="float32",
    num_layers=6,
    preset="drllm",
    search_seed=0,
    num_train=10,
    num_validation=5,
    class_counts=(1, 2, 3),
    left_out={},
    settings={},
    metrics={},
    versions={"transformers": "5.23.0"},
    weights_sha256="w" * 64,
)
BASE = CardBase(title="the local model `tiny`", hub_id=None)


def card(
    *, versions: tuple[str, ...] = TESTED, dtype: str = "float32", base: CardBase = BASE
) -> str:
    return plain_card(
        META,
        (),
        name="short",
        location="short",
        path="0,2-5",
        num_layers=5,
        base=base,
        written=WrittenCheckpoint(versions=versions, dtype=dtype),
    )


@pytest.mark.parametrize(
    ("versions", "sentence"),
    [
        (
            TESTED,
            "nothing but transformers. Tested with transformers 4.51.3, 4.57.6, 5.0.0 and 5.23.0: "
            "equal logits, equal tokens.\n",
        ),
        (
            ("4.57.6", "5.23.0"),
            "Tested with transformers 4.57.6 and 5.23.0: equal logits, equal tokens. Not with "
            "4.51.3 and 5.0.0, where it fails or computes something else.\n",
        ),
        (
            ("5.0.0", "5.23.0"),
            "It needs transformers 5; version 4 has no words for its settings. Tested with "
            "transformers 5.0.0 and 5.23.0: equal logits, equal tokens.\n",
        ),
        (
            ("5.23.0",),
            "It needs transformers 5; version 4 has no words for its settings. Tested with "
            "transformers 5.23.0: equal logits, equal tokens. Not with 5.0.0, where it fails or "
            "computes something else.\n",
        ),
    ],
)
def test_leaving_cards_name_the_versions_that_were_tested(
    versions: tuple[str, ...], sentence: str
) -> None:
    assert sentence in card(versions=versions)


def test_leaving_cards_name_the_dtype_of_the_weights_and_load_it() -> None:
    text = card(dtype="bfloat16", base=CardBase(title="`a/b`", hub_id="a/b", stored="float32"))
    assert "base model in bfloat16, in which it was searched; its own files hold float32." in text
    assert 'from_pretrained("short", dtype="auto")' in text
    assert "in which it was searched.\n" in card()
    assert 'AutoModelForCausalLM.from_pretrained("short")' in card()


@pytest.mark.parametrize(
    "location", ["me/router", 'an "odd" name', "back\\slash", "グラフ", "with {braces}"]
)
def test_leaving_cards_load_what_they_are_named_after(location: str) -> None:
    text = routed_card(
        META,
        (),
        name="short",
        location=location,
        where="It is inside.",
        base=BASE,
        threshold=0.5,
    )
    block = text.split("```python\n")[1].split("```")[0]
    calls: list[object] = []

    class Auto:
        @staticmethod
        def from_pretrained(name: str, **options: object) -> None:
            calls.append(name)

    lines = "\n".join(line for line in block.splitlines() if "import" not in line)
    exec(lines, {"AutoModelForCausalLM": Auto, "AutoTokenizer": Auto})
    assert calls == [location, location]


def test_leaving_cards_say_how_prompts_were_asked_and_that_a_template_tells_the_date() -> None:
    assert "Prompts were asked as plain text.\n" in card()
    template = "{{ bos_token }}{{ messages }}"
    text = card(base=CardBase(title="x", hub_id=None, chat_template=template))
    assert "Prompts were asked in the tokenizer's chat template.\n" in text
    dated = "{{ strftime_now('%d %b %Y') }}" + template
    text = card(base=CardBase(title="x", hub_id=None, chat_template=dated))
    assert "It writes the day's date into them" in text


def test_leaving_cards_hold_no_path_of_this_machine() -> None:
    assert "/home/somebody" not in card()
    assert "the local model `tiny`, fingerprint `ffff" in card()


def test_leaving_cards_state_the_licence_of_the_base_model(tmp_path: Path) -> None:
    assert "- licence: that of the base model; its files name none\n" in card()
    (tmp_path / "README.md").write_text(
        "---\nlicense: other\nlicense_name: gemma\nlicense_link: https://example.org/terms\n---\n"
    )
    (tmp_path / "LICENSE.txt").write_text("Terms")
    (tmp_path / "NOTICE").write_text("Notice")
    licence = licence_of(str(tmp_path), tmp_path)
    assert licence == Licence(
        identifier="other",
        name="gemma",
        link="https://example.org/terms",
        files=(tmp_path / "LICENSE.txt", tmp_path / "NOTICE"),
    )
    text = card(base=CardBase(title="x", hub_id="a/b", licence=licence))
    assert "- licence: that of the base model, gemma (`LICENSE.txt`, `NOTICE`)\n" in text
    data = ModelCard(text).data
    assert (data.license, data.license_name, data.base_model) == ("other", "gemma", "a/b")
    assert data.license_link == "https://example.org/terms"


def evaluation(**changes: object) -> CardEvaluation:
    values: dict[str, object] = {
        "router": "static", "task": "fruit", "split": "test", "threshold": 0.0, "n": 40,
        "accuracy_plain": 0.25, "accuracy_routed": 0.275, "p_value": 0.5, "layers_plain": 6.0,
        "layers_routed": 5.0, **changes,
    }  # fmt: skip
    return CardEvaluation(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((evaluation(),), "on questions that did not teach the router.\n"),
        (
            (evaluation(), evaluation(split="train")),
            "(top-1). Questions of `train` may have taught the router.\n",
        ),
        (
            (evaluation(split="validation"),),
            "(top-1). Questions of `validation` may have taught the router.\n",
        ),
        (
            (evaluation(task="other", split="train"),),
            "on questions that did not teach the router.\n",
        ),
    ],
)
def test_leaving_cards_say_of_which_questions_they_tell(
    rows: tuple[CardEvaluation, ...], sentence: str
) -> None:
    text = routed_card(
        META, rows, name="x", location="x", where="It is inside.", base=BASE, threshold=0.0
    )
    assert sentence in text


def test_leaving_evaluations_are_those_of_this_router(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    for digest, fits in (("", True), (META.digest, True), ("0" * 16, False)):
        file.write_text(json.dumps(asdict(evaluation(router_digest=digest))))
        options = {"kind": "static", "digest": META.digest, "threshold": 0.0}
        if fits:
            assert read_evaluations([file], **options)  # type: ignore[arg-type]
        else:
            with pytest.raises(ConfigError, match=r"evaluates router 0+; this export is router"):
                read_evaluations([file], **options)  # type: ignore[arg-type]
