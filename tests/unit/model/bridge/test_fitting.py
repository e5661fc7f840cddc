"""Fitting bridges: the closed form, what it is judged by, and how it goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import tiny
from support.bridges import WIDTH, bare_tiny, zero_bridges
from torch.nn.functional import kl_div

from search_cluster.bridged_spec import BridgeKind
from search_cluster.errors import ConfigError
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.divergence import path_divergences
from search_cluster.model.bridge.fitting import BridgeFit, fit_bridges, paths_of_jumps
from search_cluster.model.lens.fitting.rows import read_rows
from search_cluster.model.lens.fitting.unfinished import UnfinishedFit
from search_cluster.model.lens.texts import TokenSequence, texts_of_ids
from search_cluster.model.materialise import materialise
from search_cluster.paths.jumps import Jump, jumps_of
from search_cluster.paths.layer_path import LayerPath

PATH = LayerPath((0, 1, 4), tiny.NUM_LAYERS)
"""With a jump inside and one to the final norm."""


def sequences(count: int = 20, seed: int = 0) -> tuple[TokenSequence, ...]:
    rng = np.random.default_rng(seed)
    ids = [rng.integers(10, 60, rng.integers(12, 40)).tolist() for _ in range(count)]
    return texts_of_ids("drawn", ids).sequences


def fit(kind: BridgeKind = BridgeKind.LINEAR, unfinished: UnfinishedFit | None = None) -> BridgeFit:
    return fit_bridges(bare_tiny().model, [PATH], sequences(), kind=kind, unfinished=unfinished)


def test_the_map_is_the_ridge_regression_of_the_full_models_states() -> None:
    model, found = bare_tiny().model, fit()
    fitted = [item for index, item in enumerate(sequences()) if index % 10 != 9]
    states_SND = torch.cat([read_rows(model, [item]).states_SND for item in fitted], dim=1).double()
    assert found.num_rows == states_SND.shape[1]
    for jump in jumps_of(PATH):
        before_ND, behind_ND = states_SND[jump.before + 1], states_SND[jump.after]
        weight_N = torch.ones(len(behind_ND), dtype=torch.float64)
        weight_N = weight_N / weight_N.sum()
        state_ND = before_ND - weight_N @ before_ND
        change_ND = behind_ND - weight_N @ behind_ND - state_ND
        square_DD = state_ND.T @ (state_ND * weight_N[:, None])
        penalty = found.strengths[jump] * square_DD.diagonal().median()
        expected_DD = torch.linalg.solve(
            square_DD + penalty * torch.eye(WIDTH, dtype=torch.float64),
            state_ND.T @ (change_ND * weight_N[:, None]),
        ).T
        weight_DD, bias_D = found.bridges.tensors(jump)
        torch.testing.assert_close(weight_DD.double(), expected_DD, rtol=1e-3, atol=1e-4)
        mean_D = weight_N @ (behind_ND - before_ND - before_ND @ expected_DD.T)
        torch.testing.assert_close(bias_D.double(), mean_D, rtol=1e-3, atol=1e-3)


def test_simpler_maps_are_the_best_of_their_kind() -> None:
    model, found = bare_tiny().model, fit()
    fitted = [item for index, item in enumerate(sequences()) if index % 10 != 9]
    states_SND = torch.cat([read_rows(model, [item]).states_SND for item in fitted], dim=1).double()
    jump = Jump(1, 4)
    before_ND, behind_ND = states_SND[2], states_SND[4]
    weight_N = torch.ones(len(behind_ND), dtype=torch.float64)
    weight_N = weight_N / weight_N.sum()
    factor = (weight_N @ (before_ND * behind_ND)).sum() / (weight_N @ before_ND.square()).sum()
    weight_DD, bias_D = found.at_equal_cost[BridgeKind.SCALAR].tensors(jump)
    expected_DD = (factor - 1) * torch.eye(WIDTH, dtype=torch.float64)
    torch.testing.assert_close(weight_DD.double(), expected_DD, rtol=1e-4, atol=1e-5)
    assert not bias_D.any()
    weight_DD, bias_D = found.at_equal_cost[BridgeKind.BIAS].tensors(jump)
    assert not weight_DD.any()
    mean_D = weight_N @ (behind_ND - before_ND)
    torch.testing.assert_close(bias_D.double(), mean_D, rtol=1e-4, atol=1e-4)


def test_each_kind_gives_its_own_maps() -> None:
    kinds = set(BridgeKind) - {BridgeKind.DISTILLED}
    every = {kind: fit(kind) for kind in kinds}
    assert {kind: every[kind].bridges.kind for kind in kinds} == {kind: kind for kind in kinds}
    assert len({found.bridges.digest for found in every.values()}) == 3
    for kind, found in every.items():
        assert set(found.at_equal_cost) == kinds - {kind}
        for other, bridges in found.at_equal_cost.items():
            assert bridges.digest == every[other].bridges.digest


def test_the_same_texts_give_the_same_bridges_also_when_it_was_interrupted(tmp_path: Path) -> None:
    whole = fit()
    assert fit().bridges.digest == whole.bridges.digest

    class StoppedError(Exception):
        pass

    def stop(num_sequences: int) -> None:
        if num_sequences:
            raise StoppedError

    model, path = bare_tiny().model, tmp_path / "unfinished"

    def unfinished() -> UnfinishedFit:
        return UnfinishedFit(path, {"texts": 1}, pause_s=0)

    many = sequences(80)
    with pytest.raises(StoppedError):
        fit_bridges(model, [PATH], many, unfinished=unfinished(), progress=stop)
    done, _ = unfinished().read()
    assert 0 < done < 72
    told: list[int] = []
    again = fit_bridges(model, [PATH], many, unfinished=unfinished(), progress=told.append)
    assert told[0] == done
    assert again.bridges.digest == fit_bridges(model, [PATH], many).bridges.digest


def test_divergences_are_those_of_materialised_paths() -> None:
    loaded, texts = bare_tiny(), sequences(5, seed=1)
    bridged = with_bridges(loaded, fit().bridges)
    found = path_divergences(loaded.model, PATH, [fit().bridges, None], texts)
    total = torch.zeros(2, dtype=torch.float64)
    num_rows = 0
    with torch.inference_mode():
        for item in texts:
            ids_BT = torch.tensor([item.ids])
            full = loaded.model(ids_BT).logits.log_softmax(-1)
            for index, model in enumerate((bridged.model, loaded.model)):
                said = materialise(model, PATH)(ids_BT).logits.log_softmax(-1)
                total[index] += kl_div(said, full, log_target=True, reduction="sum").double()
            num_rows += len(item.ids)
    assert found.num_rows == num_rows
    assert found.mean_C == pytest.approx((total / num_rows).tolist(), rel=1e-4)


def test_the_plain_model_and_bridges_of_zeros_are_no_further() -> None:
    model, texts = bare_tiny().model, sequences(3)
    plain = LayerPath.identity(tiny.NUM_LAYERS)
    assert path_divergences(model, plain, [None], texts).mean_C == pytest.approx([0.0], abs=1e-6)
    zero = zero_bridges(jumps_of(PATH), WIDTH)
    with_zero, without = path_divergences(model, PATH, [zero, None], texts).mean_C
    assert with_zero == without > 0


def test_only_positions_that_count_are_judged() -> None:
    model = bare_tiny().model
    whole = TokenSequence(ids=tuple(range(10, 30)))
    part = TokenSequence(ids=tuple(range(10, 30)), first=15)
    found = path_divergences(model, PATH, [None], [part])
    assert found.num_rows == 5
    assert found.mean_C != path_divergences(model, PATH, [None], [whole]).mean_C


def test_a_jump_by_itself_is_a_path() -> None:
    jumps = (Jump(-1, 2), Jump(3, 6))
    assert [path.layers for path in paths_of_jumps(jumps, 6)] == [(2, 3, 4, 5), (0, 1, 2, 3)]
    assert [jumps_of(path) for path in paths_of_jumps(jumps, 6)] == [(jump,) for jump in jumps]
    with pytest.raises(ConfigError, match="leaves no layer"):
        paths_of_jumps([Jump(-1, 6)], 6)


def test_a_path_without_jumps_has_nothing_to_bridge() -> None:
    with pytest.raises(ConfigError, match="leave out no layer, so there is nothing to bridge"):
        fit_bridges(bare_tiny().model, [LayerPath.identity(6)], sequences())
