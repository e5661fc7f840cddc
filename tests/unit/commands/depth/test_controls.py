"""Controls of a study: other orders and letters, shuffled translators, patched runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.html_page import parsed, plots_of
from support.lettered import loaded_lettered, save_lettered_model

from search_cluster.commands.depth.asked import StudyRequest
from search_cluster.commands.depth.forms import FormReader, in_other_order
from search_cluster.commands.depth.parts import PartStore
from search_cluster.commands.depth.patching import drawn_together
from search_cluster.commands.depth.reading import StudyReader
from search_cluster.commands.depth.run import run_depth
from search_cluster.config import SearchConfig
from search_cluster.depth.orders import OTHER_ORDER
from search_cluster.depth.result import DEPTH_NAME, read_depth_result
from search_cluster.depth.settings import DepthSettings
from search_cluster.errors import ConfigError
from search_cluster.model.depth_states.tables import LOGIT, SHUFFLED, TUNED
from search_cluster.model.lens.lens import Lens
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples

SMALL = DepthSettings(
    positions=60,
    questions=12,
    fit_tokens=600,
    skip_questions=0,
    letter_questions=8,
    control_questions=6,
    shuffled_positions=20,
    patch_questions=9,
    path_positions=20,
    bias_positions=0,
)
FORMS = {("letters", OTHER_ORDER), ("letters", "letters E-H")}


def write_task(folder: Path, name: str, prompt: str, choices: tuple[str, ...]) -> str:
    """A task of 30 questions; ``{}`` in a choice is the question's number."""
    folder.mkdir()
    rows = [
        {
            "question": f"what is the number of the city {number}",
            "choices": [choice.format(number) for choice in choices],
            "answer": number % len(choices),
        }
        for number in range(30)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.toml").write_text(
        f'name = "{name}"\ndescription = "made up"\nkind = "choice"\ndata = "rows.jsonl"\n'
        f'answer_base = 0\n[prompt]\nchat = "{prompt}"\nplain = "{prompt}\\nA:"\n'
    )
    return str(folder / "task.toml")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], StudyRequest]:
    folder = tmp_path_factory.mktemp("controls")
    model = save_lettered_model(folder / "model")
    text = folder / "text.txt"
    text.write_text("\n".join(f"the number {n} is the answer of the city" for n in range(400)))
    donor = write_task(folder / "yesno", "yesno", "{question}", ("is so", "of course"))
    return lambda out: StudyRequest(
        config=SearchConfig(model=str(model), device="cpu", dtype="float32"),
        settings=SMALL,
        task="elements",
        lens=None,
        text=text,
        pos=None,
        facts=None,
        paths=(),
        out=out,
        patch=donor,
    )


@pytest.mark.slow
def test_a_study_reads_its_controls_once_and_says_what_they_say(
    study: Callable[[Path], StudyRequest], tmp_path: Path
) -> None:
    found = run_depth(study(tmp_path))["found"]
    result = read_depth_result(tmp_path)
    assert result.questions is not None
    controls = result.questions.order_controls
    assert {(item.options, item.form) for item in controls} == FORMS
    assert {item.lens for item in controls} == {LOGIT, TUNED}
    assert {item.same_text.n[-1] for item in controls if item.case == "all"} == {6}
    for item in controls:
        assert (item.same_place is None) == (item.form != OTHER_ORDER)
    assert result.questions.texts_are_shown is False
    control = result.text.control
    assert control is not None
    assert set(control.divergence) == {LOGIT, TUNED, SHUFFLED}
    assert control.divergence[SHUFFLED].value[-1] == control.divergence[TUNED].value[-1] == 0
    first, last = control.divergence[SHUFFLED].value[0], control.divergence[TUNED].value[0]
    assert first != last
    patching = result.patching
    assert patching is not None
    assert (patching.donor, patching.recipient, patching.pairs) == ("yesno", "elements", 9)
    assert patching.donor_options == ("is so", "of course")
    assert patching.recipient_options == ("A", "B", "C", "D")
    assert len(patching.cases[0].donors.value) == result.num_layers + 1
    assert {item.lens for item in patching.lenses} == {LOGIT, TUNED}
    for begin in ("Control of the tuned", "letters in another", "letters E-H", "texts: another"):
        assert sum(line.startswith(begin) for line in found) == 1, begin
    assert sum("runs of elements" in line for line in found) == 1
    page = parsed(tmp_path / "report.html")
    for title in ("Content or place", "whatever it reads", "states of yesno", "that are offered"):
        assert title in page.words, title
    assert len(plots_of(page)) >= 10

    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "parts").iterdir()}
    names = {name.rsplit("-", 1)[0] for name in parts}
    assert {"letters-order", "letters-foreign", "shuffled", "patch", "patch-donors"} <= names
    before = (tmp_path / DEPTH_NAME).read_bytes()
    (tmp_path / "parts" / "patch-0001.npz").unlink()
    run_depth(study(tmp_path))
    assert (tmp_path / DEPTH_NAME).read_bytes() == before
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "parts").iterdir()}
    assert {name for name in parts if again[name] != parts[name]} == {"patch-0001.npz"}
    with pytest.raises(ConfigError, match=r"was begun with patch 'yesno .*asked for None"):
        run_depth(replace(study(tmp_path), patch=None))


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ("arithmetic", "the questions of arithmetic have none; name tasks with choices"),
        ("alike", "begin alike or merge with the prompt, or the prompt is too long"),
        ("letters", "which begin with a token in common; name a task of other options"),
    ],
)
def test_tasks_whose_options_can_not_be_told_apart_are_refused_before_anything_is_read(
    patch: str, said: str, study: Callable[[Path], StudyRequest], tmp_path: Path
) -> None:
    choices = {"alike": ("is so", "is not"), "letters": ("A", "B")}
    if patch in choices:
        patch = write_task(tmp_path / patch, patch, "{question}", choices[patch])
    with pytest.raises(ConfigError, match=said):
        run_depth(replace(study(tmp_path / "out"), patch=patch))
    assert not (tmp_path / "out" / "parts").exists()


def test_two_tasks_that_are_answered_by_letters_get_different_ones(
    study: Callable[[Path], StudyRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study ends before its first part, and its plan names the donors."""

    class StoppedError(Exception):
        pass

    def arrays(store: PartStore, name: str, make: object) -> None:
        raise StoppedError

    monkeypatch.setattr(PartStore, "arrays", arrays)
    with pytest.raises(StoppedError):
        run_depth(replace(study(tmp_path), patch="capitals"))
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["patch"].startswith("capitals ")


def test_in_the_other_order_every_choice_has_another_place() -> None:
    examples = select_examples(get_task("elements").load("train", None).examples, 50, 0)
    places = set()
    for example in examples:
        moved = in_other_order(example, 0)
        assert moved is not None
        other, order = moved
        assert [example.choices[former] for former in order] == list(other.choices)
        assert all(place != former for place, former in enumerate(order))
        assert other.choices[other.gold_index or 0] == example.gold == other.gold
        assert in_other_order(example, 0) == moved
        places.add(order)
    assert len(places) > 4
    told = replace(examples[0], choices=(*examples[0].choices[:3], "none of the above"))
    assert in_other_order(told, 0) is None


@pytest.mark.parametrize("shows", [True, False])
def test_texts_are_asked_in_another_order_where_prompts_show_them(
    shows: bool, tmp_path: Path
) -> None:
    loaded = loaded_lettered()
    prompt = "{question}\\n{choices}" if shows else "{question}"
    task = get_task(write_task(tmp_path / "own", "own", prompt, ("the {}", "of {} is", "what {}")))
    examples = task.load("train", None).examples[:9]
    forms = FormReader(
        loaded=loaded,
        reader=StudyReader(
            loaded=loaded, store=PartStore(tmp_path, {}), on_part=lambda done, total: None
        ),
        lenses={LOGIT: Lens.logit(loaded.model)},
        settings=SMALL,
        seed=0,
    )
    form, are_shown = forms.texts(task, examples)
    assert are_shown is shows
    assert (form is not None) is shows
    if form is not None:
        assert form.questions == tuple(range(6))
        assert form.decisions.prompt_N.tolist() == list(range(6))
        assert form.order_NC.shape == (6, 3)


def test_pairs_are_drawn_together_that_share_a_fact_also_by_others() -> None:
    """The first two share the donors' fact, the second and third that of recipients."""
    found = drawn_together((7, 7, 2, 3), (5, 6, 6, 7)).tolist()
    assert found[0] == found[1] == found[2] != found[3]
    assert len(set(drawn_together((0, 1, 2), (0, 1, 2)).tolist())) == 3
