"""Models around a text model: which of them can be searched as their text model.

A multimodal model that is asked in text alone is its text model. Of the wrappers below that is
tested, logit by logit; others are refused by a line that says what they are.
"""

import copy

from transformers import PreTrainedConfig

from search_cluster.errors import UnsupportedFamilyError
from search_cluster.model.anatomy import ANATOMIES, REFUSED

WRAPPERS = ("gemma3", "llava", "mistral3")
"""The wrappers of which the text model is known to say what the wrapper says."""
TEXT_WEIGHTS = {
    r"^(model\.)?language_model\.lm_head\.": "lm_head.",
    r"^(model\.)?language_model\.(model\.)?": "model.",
}
"""How wrappers name the weights of their text model, and how it names them itself."""


def text_config_of(config: PreTrainedConfig, source: str) -> PreTrainedConfig:
    """The configuration of a wrapper's text model; the same one of a model that is no wrapper.

    Raises:
        UnsupportedFamilyError: it is a wrapper that can't be searched as its text model.
    """
    text_config = config.get_text_config()
    if text_config is config or config.model_type in ANATOMIES or config.model_type in REFUSED:
        return config
    if config.model_type not in WRAPPERS or text_config.model_type not in ANATOMIES:
        raise UnsupportedFamilyError(
            f"{source} is a {config.model_type} model around a text model of the family "
            f"{text_config.model_type!r}, and layer paths are searched in text models: save its "
            "language model as a folder of its own, or take the text model that it was made from "
            f"(wrappers that are searched as they are: {', '.join(WRAPPERS)})"
        )
    if config.model_type == "gemma3" and text_config.final_logit_softcapping is not None:
        raise UnsupportedFamilyError(
            f"{source} is a gemma3 model whose text model caps its logits, which the gemma3 "
            "wrapper of transformers does not do: set final_logit_softcapping to null in "
            "config.json, or save its language model as a folder of its own"
        )
    text_config = copy.deepcopy(text_config)
    # Whether embedding and head are one tensor is what the wrapper says, not what its part says.
    text_config.tie_word_embeddings = config.tie_word_embeddings
    return text_config
