"""Many records, one run: the first rank that trained, and what only all ranks together know."""

import math
from typing import Any

import numpy as np
import pytest

from trainwright.core import Run, Series
from trainwright.observe.ranks import merge


def ran(steps: int = 4, values: dict[str, Any] | None = None, **facts: Any) -> Run:
    series = {
        name: Series(np.array(list(of)), ("a", "b"), np.array(list(of.values()), np.float32))
        for name, of in (values or {}).items()
    }
    return Run(series, {"steps": steps, **facts})


def test_rank_0_is_the_base_whatever_the_others_saw():
    run = merge({"rank1": ran(9, {"loss": {0: [1, 1]}}), "rank0": ran(4), "rank10": ran(9), "rank2": ran(9)})
    assert run.steps == 4
    assert run.series == {}


def test_the_first_rank_that_trained_is_the_base():
    assert merge({"rank0": ran(0), "rank10": ran(10), "rank2": ran(2)}).steps == 2


def test_a_child_is_the_base_where_its_parent_did_not_train():
    main = ran(0, script="train.py", exit_status=3, world_size=1)
    child = ran(7, {"loss": {0: [1, 2]}}, script="-c", exit_status=None, optimizers=[])
    run = merge({"rank0": main, "p123": child, "p7": ran(2)})
    assert run.steps == 7
    assert list(run.series) == ["loss"]
    assert (run.facts["script"], run.facts["exit_status"]) == ("train.py", 3)
    assert run.facts["given_up"] == ["1 more processes trained too; this is the one that made the most steps"]


def test_a_parent_that_trained_is_the_base_before_its_children():
    assert merge({"p1": ran(50), "rank0": ran(1)}).steps == 1


def test_no_training_anywhere_gives_the_main_process():
    assert merge({"p1": ran(0, script="-c"), "rank0": ran(0, script="t.py")}).facts["script"] == "t.py"


SHARDED = {"sharded": True, "world_size": 2}


class TestSharded:
    def test_norms_of_shared_steps_are_those_of_the_whole_tensors(self):
        first = ran(
            values={"grad_norm": {0: [3, 1], 2: [1, math.nan], 4: [9, 9]}, "loss": {0: [1, 1]}}, **SHARDED
        )
        second = ran(
            values={"grad_norm": {0: [4, math.nan], 2: [math.inf, math.nan]}, "loss": {0: [5, 5]}},
            **SHARDED,
        )
        run = merge({"rank0": first, "rank1": second})
        norms = run.series["grad_norm"]
        assert norms.steps.tolist() == [0, 2]
        assert norms.values.tolist()[0] == [5, 1]
        assert norms.values[1, 0] == math.inf
        assert math.isnan(norms.values[1, 1])
        assert run.series["loss"].values.tolist() == [[1, 1]]

    def test_a_norm_that_one_rank_has_not_stays_that_of_the_base(self):
        run = merge({"rank0": ran(values={"weight_norm": {0: [3, 1]}}, **SHARDED), "rank1": ran(**SHARDED)})
        assert run.series["weight_norm"].values.tolist() == [[3, 1]]

    def test_ranks_whose_records_are_elsewhere_are_counted(self):
        run = merge({"rank0": ran(sharded=True, world_size=4), "rank1": ran(sharded=True, world_size=4)})
        assert run.facts["given_up"] == ["norms lack the shards of 2 ranks: their records are not here"]

    def test_their_weights_differ_and_are_not_compared(self):
        a, b = ran(replica_hash={"0": "x"}, **SHARDED), ran(replica_hash={"0": "y"}, **SHARDED)
        assert "replicas" not in merge({"rank0": a, "rank1": b}).facts

    def test_unsharded_norms_are_left_alone(self):
        run = merge({f"rank{i}": ran(values={"grad_norm": {0: [3, 4]}}, world_size=2) for i in range(2)})
        assert run.series["grad_norm"].values.tolist() == [[3, 4]]


class TestReplicas:
    @pytest.mark.parametrize(
        ("hashes", "expected"),
        [
            ([{"0": "a", "9": "b", "10": "c"}] * 3, {"ranks": 3, "equal": True, "step": 10}),
            (
                [{"0": "a", "10": "c"}, {"0": "a", "10": "d", "20": "e"}],
                {"ranks": 2, "equal": False, "step": 10},
            ),
            ([{"9": "a", "10": "b"}, {"9": "x", "10": "y"}], {"ranks": 2, "equal": False, "step": 9}),
            ([{"0": "a", "10": "c"}, {"0": "a"}], {"ranks": 2, "equal": True, "step": 0}),
        ],
    )
    def test_are_compared_at_the_steps_that_all_have(self, hashes, expected):
        run = merge({f"rank{i}": ran(replica_hash=h, world_size=len(hashes)) for i, h in enumerate(hashes)})
        assert run.facts["replicas"] == expected
        assert "replica_hash" not in run.facts

    @pytest.mark.parametrize("other", [{}, {"5": "a"}])
    def test_without_a_shared_step_nothing_is_said(self, other):
        run = merge(
            {
                "rank0": ran(replica_hash={"0": "a"}, world_size=2),
                "rank1": ran(replica_hash=other, world_size=2),
            }
        )
        assert "replicas" not in run.facts

    def test_in_spawned_children_are_compared_too(self):
        children = {f"p{90 - i}": ran(3, rank=i, world_size=2, replica_hash={"0": str(i)}) for i in range(2)}
        run = merge({"rank0": ran(0), **children})
        assert run.facts["rank"] == 0
        assert run.facts["replicas"] == {"ranks": 2, "equal": False, "step": 0}

    def test_a_second_process_of_one_rank_is_no_replica(self):
        run = merge(
            {
                "rank0": ran(world_size=2, rank=0, replica_hash={"0": "a"}),
                "rank1": ran(world_size=2, rank=1, replica_hash={"0": "a"}),
                "p5": ran(world_size=2, rank=0, replica_hash={"0": "z"}),
            }
        )
        assert run.facts["replicas"] == {"ranks": 2, "equal": True, "step": 0}


def test_what_one_rank_alone_has_seen_is_kept():
    first, second = ran(world_size=2, exception=None), ran(world_size=2, exception="ValueError: labels")
    assert merge({"rank0": first, "rank1": second}).facts["exception"] == "ValueError: labels"


def test_merging_changes_no_record():
    records = {"rank0": ran(world_size=2, replica_hash={"0": "a"}), "rank1": ran(world_size=2, exception="E")}
    before = {name: dict(run.facts) for name, run in records.items()}
    merge(records)
    assert {name: dict(run.facts) for name, run in records.items()} == before
