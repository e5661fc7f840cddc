"""A tiny random model as the product loads it, built offline."""

from support.tiny import tiny_model, tiny_tokenizer

from search_cluster.model.loaded import LoadedModel


def loaded_tiny(*, chat: bool = False, seed: int = 0, model_type: str = "llama") -> LoadedModel:
    """The model with its tokenizer; its fingerprint is made up."""
    model = tiny_model(model_type, seed)
    return LoadedModel(
        model=model,
        tokenizer=tiny_tokenizer(chat),
        spec=f"tiny {model_type}",
        fingerprint=f"tiny-{model_type}-{seed}",
        num_layers=len(model.model.layers),
        chat=chat,
        device="cpu",
        dtype="float32",
    )
