"""The card of a depth study on the hub."""

from search_cluster.depth.result import DepthResult
from search_cluster.hub.card import Card, hub_id_of, model_facts, model_title
from search_cluster.report.depth.words import headline


def study_card(result: DepthResult, location: str) -> Card:
    """What the card says, from the study's own file; ``location``: how it is named."""
    title = model_title(result.model)
    questions = result.questions
    return Card(
        title=f"What the layers of {title} do",
        what=f"A study of the {result.num_layers} layers of {title}: what is guessed where, when "
        "answers are settled, and what leaving layers out does.",
        use=(
            f"search-cluster report {location}",
            f"search-cluster scan --task TASK --depth-prior {location}",
        ),
        measured="\n".join(f"- {line}" for line in headline(result)),
        how={
            "model": model_facts(result.model, result.model_fingerprint, result.dtype),
            "lens": result.lens,
            "text": result.text.source,
            "questions": ""
            if questions is None
            else f"{questions.questions} of `{questions.task}` ({questions.split}), "
            f"{questions.left_out} left out",
            "intervals": "95 %, drawing whole prompts again",
            "paths looked at": str(len(result.paths)),
            "seed": str(result.seed),
            "notes": "; ".join(result.notes),
        },
        rights="Figures are of the model named above; its licence applies to them.",
        data={"base_model": hub_id_of(result.model)},
    )
