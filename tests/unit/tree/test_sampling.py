import random
from itertools import pairwise

import pytest

from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.presets.baselines import CHAIN, RANDOM
from search_cluster.tree.sampling import ChainSearch, RandomSearch
from search_cluster.tree.settings import SearchPreset, make_proposer


def draw(
    preset: SearchPreset, num_layers: int, seed: int, budget: int, reward: float = 0.0
) -> list[LayerPath]:
    proposer = make_proposer(LayerPath.identity(num_layers), reward, preset, random.Random(seed))
    proposed: list[LayerPath] = []
    while len(proposed) < budget and (paths := proposer.propose(min(4, budget - len(proposed)))):
        proposed += paths
        for path in paths:
            proposer.observe(path, reward)
    return proposed


def test_each_path_of_a_chain_is_one_edit_of_the_path_before() -> None:
    assert isinstance(CHAIN.strategy, ChainSearch)
    line = [LayerPath.identity(30), *draw(CHAIN, 30, seed=0, budget=49)]
    for before, after in pairwise(line):
        assert after in CHAIN.strategy.space.successors(before)


def test_a_chain_decays_whatever_the_answers_say() -> None:
    ends = []
    for seed in range(20):
        line = draw(CHAIN, 30, seed, budget=49)
        assert line == draw(CHAIN, 30, seed, budget=49, reward=1.0)
        ends.append(len(line[-1]))
    # Two of three edits skip 1.5 layers, one adds 1: two thirds of a layer are lost per step, near
    # the end all.
    assert sum(ends) / len(ends) < 10


def test_a_chain_breaks_the_limits_of_the_paper() -> None:
    paths = [path for seed in range(50) for path in draw(CHAIN, 30, seed, budget=49)]
    assert max(max(path.counts()) for path in paths) > 2


def test_a_chain_ends_where_no_edit_leads_to_a_new_path() -> None:
    line = draw(CHAIN, 2, seed=0, budget=1000)
    assert 1 <= len(line) < 1000


def test_random_programs_have_all_numbers_of_edits() -> None:
    assert isinstance(RANDOM.strategy, RandomSearch)
    edits = [
        sum(count != 1 for count in path.counts())
        for seed in range(20)
        for path in draw(RANDOM, 60, seed, budget=50)
    ]
    # 1 to 10 edits of 1 or 2 layers each: 5.5 edits of 4/3 layers are expected.
    assert min(edits) == 1
    assert 10 < max(edits) <= 20
    assert sum(edits) / len(edits) == pytest.approx(5.5 * 4 / 3, abs=0.5)


def test_random_programs_end_when_a_small_space_is_used_up() -> None:
    assert isinstance(RANDOM.strategy, RandomSearch)
    found = draw(RANDOM, 3, seed=0, budget=1000)
    space = RANDOM.strategy.space
    reachable = {LayerPath.identity(3)}
    frontier = list(reachable)
    while frontier:
        new = set(space.successors(frontier.pop())) - reachable
        reachable |= new
        frontier.extend(new)
    assert {LayerPath.identity(3), *found} == reachable
