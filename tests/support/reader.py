"""What one version of transformers makes of model folders: logits, tokens, settings, generation.

Run as a program, by whichever transformers the process imports, so it uses what all versions have:

    PYTHONPATH=/tmp/transformers-4.57.6 python tests/support/reader.py JOB.json RESULT.pt
"""

import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

NUM_GENERATED = 8


def read_model(folder: str, lengths: list[int], attention: str) -> dict[str, Any]:
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()
    found: dict[str, Any] = {
        "class": type(model).__name__,
        "dtype": str(model.dtype),
        "config": json.loads(config.to_json_string(use_diff=False)),
        "generation": json.loads(model.generation_config.to_json_string(use_diff=False)),
        "tied": model.get_input_embeddings().weight.data_ptr()
        == model.get_output_embeddings().weight.data_ptr(),
    }
    with torch.inference_mode():
        for length in lengths:
            ids_BT = torch.arange(7, 7 + length)[None] % config.vocab_size
            found[f"logits_{length}"] = model(ids_BT, use_cache=False).logits.float()
            found[f"generated_{length}"] = model.generate(
                ids_BT,
                attention_mask=torch.ones_like(ids_BT),
                do_sample=False,
                max_new_tokens=NUM_GENERATED,
                pad_token_id=0,
            ).tolist()
    return found


def read_tokenizer(folder: str, texts: list[str]) -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = [tokenizer(text) for text in texts]
    found = {
        "encoded": [dict(one) for one in encoded],
        "bare": [tokenizer.encode(text, add_special_tokens=False) for text in texts],
        "decoded": [tokenizer.decode(one["input_ids"]) for one in encoded],
        "skipped": [
            tokenizer.decode(one["input_ids"], skip_special_tokens=True) for one in encoded
        ],
        "pair": dict(tokenizer(texts[0], texts[1])),
        "size": len(tokenizer),
        "named": {
            name: getattr(tokenizer, name)
            for name in ("pad_token", "eos_token", "bos_token", "unk_token", "padding_side")
        },
        "max_length": tokenizer.model_max_length,
        "special_ids": sorted(tokenizer.all_special_ids),
    }
    if tokenizer.pad_token is not None:
        found["padded"] = dict(tokenizer(texts, padding=True, truncation=True, max_length=12))
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": texts[0]}]
        found["chat"] = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        if isinstance(tokenizer.chat_template, dict):
            found["templates"] = dict(tokenizer.chat_template)
    return found


def main(job_file: str, result_file: str) -> None:
    """Read the folders of a job; what can't be read is its error."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    results: dict[str, Any] = {"version": transformers.__version__}
    for name, task in job.items():
        try:
            results[name] = (
                read_tokenizer(task["folder"], task["texts"])
                if "texts" in task
                else read_model(task["folder"], task["lengths"], task["attention"])
            )
        except Exception as error:  # whatever an old version raises is the outcome
            results[name] = {
                "error": f"{type(error).__name__}: {error}",
                "trace": traceback.format_exc(),
            }
    torch.save(results, result_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
