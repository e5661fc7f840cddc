import math
import random
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_cluster.errors import ConfigError, InvalidValueError
from search_cluster.paths.block_moves import RepeatBlock, SkipBlock, SwapBlocks
from search_cluster.paths.codec import decode_path, encode_path, parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.limits import PathLimits
from search_cluster.paths.moves import RepeatOnce, SkipAdjacent
from search_cluster.paths.segments import RepeatSegment, SegmentLimits, SkipSegment
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.graph import GraphSearch, SearchGraph
from search_cluster.tree.presets.registry import PRESETS, get_preset
from search_cluster.tree.proposer import Proposer
from search_cluster.tree.sampling import ChainSearch, RandomSearch
from search_cluster.tree.scores import UcbScore, VisitTotal
from search_cluster.tree.settings import StopRule, make_proposer, with_score
from search_cluster.tree.widening import PowerWidening

EVERY = sorted(set(PRESETS) - {"credible"})
"""The presets that find their paths from one question alone; the tests of `credible` stand with the
search room."""
GRAPHS = [name for name in EVERY if isinstance(PRESETS[name].strategy, GraphSearch)]


def start(name: str, *, num_layers: int = 8, seed: int = 0, root_reward: float = 0.0) -> Proposer:
    return make_proposer(
        LayerPath.identity(num_layers), root_reward, PRESETS[name], random.Random(seed)
    )


def space_of(name: str) -> SearchSpace:
    strategy = PRESETS[name].strategy
    assert isinstance(strategy, GraphSearch | ChainSearch | RandomSearch)
    return strategy.space


def hashed_reward(path: LayerPath) -> float:
    return float(zlib.crc32(bytes(path.layers)) % 3 == 0)


def rounds(proposer: Proposer, budget: int, leaves: int = 4) -> Iterator[list[LayerPath]]:
    left = budget
    while left and (paths := proposer.propose(min(leaves, left))):
        yield paths
        left -= len(paths)


def assert_settled(proposer: Proposer) -> None:
    """Nothing is pending, and visits add up."""
    if isinstance(proposer, SearchGraph):
        assert proposer.num_pending == 0
        for node in proposer.nodes.values():
            assert node.num_pending == 0
            assert node.num_visits == node.num_own_visits + sum(
                edge.num_visits for edge in node.edges
            )


def test_the_published_presets_are_those_of_the_papers() -> None:
    order_keeping = PathLimits(
        max_skipped_run=2, max_layer_uses=2, max_length_ratio=2.0, order_kept=True
    )
    any_order = PathLimits(
        max_skipped_run=None, max_layer_uses=None, max_length_ratio=2.0, order_kept=False
    )
    blocks = (SkipBlock(4), RepeatBlock(max_size=4, max_more=4))
    expected = {
        "drllm": (
            (SkipAdjacent(2), RepeatOnce()), order_keeping, 1.8, 3.0, 0.1, VisitTotal.PARENT, 50,
        ),
        "skip-only": ((SkipAdjacent(2),), order_keeping, 1.8, 3.0, 0.1, VisitTotal.PARENT, 50),
        "repeat-only": ((RepeatOnce(),), order_keeping, 1.8, 3.0, 0.1, VisitTotal.PARENT, 50),
        "cola": (blocks, any_order, 1.8, 5.0, 0.1, VisitTotal.ALL, 200),
        "cola-reorder": ((*blocks, SwapBlocks(4)), any_order, 1.8, 5.0, 0.1, VisitTotal.ALL, 200),
        "polar": (
            (SkipSegment(4), RepeatSegment(max_size=4, max_runs=5)),
            SegmentLimits(max_size=4, max_runs=5),
            math.sqrt(2), 5.0, 0.1, VisitTotal.ALL, 100,
        ),
    }  # fmt: skip
    for name, (
        moves,
        limits,
        exploration,
        length_penalty,
        random_child,
        visit_total,
        budget,
    ) in expected.items():
        assert PRESETS[name].budget == budget
        assert PRESETS[name].strategy == GraphSearch(
            space=SearchSpace(
                moves=moves, limits=limits, kinds_evenly=name in ("cola", "cola-reorder", "polar")
            ),
            score=UcbScore(exploration=exploration, length_penalty=length_penalty),
            widening=PowerWidening(scale=2.0, exponent=0.5),
            random_child_probability=random_child,
            visit_total=visit_total,
        )
    assert {name for name in EVERY if PRESETS[name].stop_rule is StopRule.FIRST_IMPROVEMENT} == {
        "drllm", "skip-only", "repeat-only",
    }  # fmt: skip
    assert set(EVERY) == {*expected, "chain", "random"}


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"preset 'nope' is unknown; presets are: chain, cola, .*drllm"
    ):
        get_preset("nope")


def test_a_slip_of_the_pen_is_told_what_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"preset 'credibel' .*did you mean credible\?"):
        get_preset("credibel")


@pytest.mark.parametrize("name", EVERY)
@given(num_layers=st.integers(1, 12), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_every_proposal_is_new_within_the_limits_and_round_trips(
    name: str, num_layers: int, seed: int
) -> None:
    proposer = start(name, num_layers=num_layers, seed=seed)
    seen = {LayerPath.identity(num_layers)}
    for paths in rounds(proposer, 80):
        for path in paths:
            assert path not in seen
            assert space_of(name).limits.violation(path) is None
            assert path == LayerPath(path.layers, num_layers)
            assert decode_path(encode_path(path), num_layers) == path
            assert parse_path(str(path), num_layers) == path
            seen.add(path)
            proposer.observe(path, hashed_reward(path))
    assert_settled(proposer)


@pytest.mark.parametrize("name", EVERY)
@given(
    seed=st.integers(0, 10_000),
    actions=st.lists(st.sampled_from(["propose", "observe", "abandon"]), max_size=60),
)
@settings(max_examples=25, deadline=None)
def test_visits_add_up_after_any_interleaving(name: str, seed: int, actions: list[str]) -> None:
    proposer = start(name, num_layers=6, seed=seed)
    rng = random.Random(seed)
    waiting: list[LayerPath] = []
    for action in actions:
        if action == "propose":
            waiting += proposer.propose(rng.randint(1, 5))
        elif waiting:
            path = waiting.pop(rng.randrange(len(waiting)))
            if action == "observe":
                proposer.observe(path, rng.choice([0.0, 1.0]))
            else:
                proposer.abandon(path)
    for path in waiting:
        proposer.observe(path, 0.0)
    assert_settled(proposer)


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 1000), order_seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_answers_within_a_round_does_not_matter(
    name: str, seed: int, order_seed: int
) -> None:
    straight, shuffled = start(name, seed=seed), start(name, seed=seed)
    order = random.Random(order_seed)
    for paths in rounds(straight, 60):
        assert shuffled.propose(len(paths)) == paths
        answers = list(paths)
        order.shuffle(answers)
        for path, other in zip(paths, answers, strict=True):
            straight.observe(path, hashed_reward(path))
            shuffled.observe(other, hashed_reward(other))


@pytest.mark.parametrize("name", EVERY)
def test_answers_must_be_pending_and_in_range(name: str) -> None:
    proposer = start(name)
    (path,) = proposer.propose(1)
    with pytest.raises(InvalidValueError, match=r"reward is 1\.5"):
        proposer.observe(path, 1.5)
    proposer.observe(path, 1.0)
    for answer in (lambda: proposer.observe(path, 1.0), lambda: proposer.abandon(path)):
        with pytest.raises(InvalidValueError, match="is not pending"):
            answer()


@pytest.mark.parametrize("name", GRAPHS)
def test_a_small_space_is_proposed_whole(name: str) -> None:
    space = space_of(name)
    # Three layers in any order, up to six long, are a thousand paths.
    num_layers = 2 if name.startswith("cola") else 3
    reachable = {LayerPath.identity(num_layers)}
    frontier = list(reachable)
    while frontier:
        new = set(space.successors(frontier.pop())) - reachable
        reachable |= new
        frontier.extend(new)
    proposer = start(name, num_layers=num_layers)
    proposed = []
    for paths in rounds(proposer, 100_000):
        proposed += paths
        for path in paths:
            proposer.observe(path, hashed_reward(path))
    assert len(proposed) == len(set(proposed))
    assert {LayerPath.identity(num_layers), *proposed} == reachable
    assert isinstance(proposer, SearchGraph)
    assert proposer.exhausted


@pytest.mark.parametrize("name", GRAPHS)
def test_both_readings_of_v_can_be_chosen_and_search_differently(name: str) -> None:
    def proposals(visit_total: VisitTotal) -> list[LayerPath]:
        preset = with_score(PRESETS[name], visit_total=visit_total, exploration=None)
        proposed = []
        for seed in range(5):
            proposer = make_proposer(LayerPath.identity(20), 1.0, preset, random.Random(seed))
            for paths in rounds(proposer, 200):
                proposed += paths
                for path in paths:
                    proposer.observe(path, hashed_reward(path))
        return proposed

    by_parent, by_all = proposals(VisitTotal.PARENT), proposals(VisitTotal.ALL)
    assert len(by_parent) == len(by_all) == 1000
    assert by_parent != by_all


@pytest.mark.parametrize("name", ["chain", "random"])
def test_a_preset_without_visits_has_no_reading_of_v(name: str) -> None:
    with pytest.raises(
        ConfigError,
        match=f"visit_total is 'all', and preset '{name}' has no score that counts visits",
    ):
        with_score(PRESETS[name], visit_total="all", exploration=None)
    with pytest.raises(
        ConfigError,
        match=f"exploration is 2.0, and preset '{name}' has no score that counts visits",
    ):
        with_score(PRESETS[name], visit_total=None, exploration=2.0)
    assert with_score(PRESETS[name], visit_total=None, exploration=None) == PRESETS[name]


@pytest.mark.parametrize("name", GRAPHS)
def test_c_of_the_score_can_be_chosen(name: str) -> None:
    preset = with_score(PRESETS[name], visit_total=None, exploration=0.25)
    assert isinstance(preset.strategy, GraphSearch)
    assert isinstance(preset.strategy.score, UcbScore)
    assert preset.strategy.score.exploration == 0.25
    for bad in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match=f"exploration is {bad}; it is a number from 0"):
            with_score(PRESETS[name], visit_total=None, exploration=bad)
