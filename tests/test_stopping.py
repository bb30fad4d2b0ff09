"""Early stopping: what it keeps, when it stops, and how it goes on."""

import ast
import copy
import inspect
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainwright.stopping import EarlyStopping, advice, agree, noise

NAN = math.nan


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def told(stop: EarlyStopping, scores) -> int | None:
    """Number of the call that said stop."""
    for number, score in enumerate(scores):
        with torch.no_grad():
            for value in stop.model.state_dict().values():
                value.fill_(number)
        if stop(score):
            return number
    return None


def filled(model: nn.Module) -> set[float]:
    return {float(x) for v in model.state_dict().values() for x in v.flatten()}


values = st.one_of(st.integers(-20, 20).map(lambda i: i / 4), st.sampled_from([NAN, math.inf, -math.inf]))
runs = st.lists(values, min_size=1, max_size=40)


@given(runs, st.integers(1, 5), st.sampled_from(["min", "max"]), st.sampled_from([0.0, 0.3]))
def test_it_stops_and_restores_as_the_slow_way_does(scores, patience, mode, change):
    best = at = stopped = None
    bad = 0
    for number, score in enumerate(scores):
        better = math.isfinite(score) and (
            best is None or (best - score if mode == "min" else score - best) > change
        )
        if better:
            best, at, bad = score, number, 0
        else:
            bad += 1
        if bad == patience:
            stopped = number
            break
    stop = EarlyStopping(net(), patience, mode=mode, min_change=change)
    assert told(stop, scores) == stopped
    assert (stop.best, stop.best_at) == (best, at)
    assert stop.not_finite == sum(not math.isfinite(s) for s in stop.scores)
    if at is not None:
        assert filled(stop.restore_()) == {float(at)}


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_best_weights_are_a_copy_that_no_training_changes(tmp_path, on_disk):
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    stop = EarlyStopping(model, 3, path=tmp_path / "best.pt" if on_disk else None)
    kept = None
    for score in (3.0, 1.0, 2.0, 2.0):
        model(torch.randn(8, 3)).square().mean().backward()
        sgd.step()
        stop(score)
        if score == 1.0:
            kept = copy.deepcopy(model.state_dict())
    assert any(not torch.equal(v, kept[n]) for n, v in model.state_dict().items())  # it did go on
    pointers = [p.data_ptr() for p in model.parameters()]
    assert stop.restore_() is model
    assert all(torch.equal(v, kept[n]) for n, v in model.state_dict().items())
    assert [p.data_ptr() for p in model.parameters()] == pointers  # the optimiser still holds them
    assert (tmp_path / "best.pt").exists() == on_disk
    assert not (tmp_path / "best.pt.part").exists()


def test_buffers_and_extra_state_come_back_too():
    class Counted(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.seen = [0]

        def get_extra_state(self):
            return self.seen

        def set_extra_state(self, state):
            self.seen = state

    model = nn.Sequential(Counted(), nn.BatchNorm1d(2))
    stop = EarlyStopping(model)
    model(torch.randn(5, 2))
    stop(1.0)
    before = copy.deepcopy(model.state_dict())
    model[0].seen.append(1)
    model(torch.randn(5, 2))
    stop.restore_()
    assert model[0].seen == [0]
    assert torch.equal(model[1].running_mean, before["1.running_mean"])
    assert model[1].num_batches_tracked == 1


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_every_dtype_comes_back_to_the_bit(kind):
    model = nn.Linear(5, 5).to(kind)
    stop, before = EarlyStopping(model), model.weight.detach().clone()
    stop(1.0)
    with torch.no_grad():
        model.weight.zero_()
    assert torch.equal(stop.restore_().weight, before)


def test_tied_weights_stay_tied():
    model = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    model[1].weight = model[0].weight
    stop = EarlyStopping(model)
    stop(1.0)
    stop.restore_()
    assert model[1].weight is model[0].weight


def test_a_first_score_that_is_no_number_does_not_stay_the_best():
    stop = EarlyStopping(net(), 3)
    assert told(stop, [NAN, 2.0, 1.0]) is None
    assert (stop.best, stop.best_at, stop.not_finite) == (1.0, 2, 1)


def test_nothing_but_nan_stops_and_leaves_the_last_weights():
    stop = EarlyStopping(net(), 3)
    assert told(stop, [NAN] * 9) == 2
    with pytest.raises(ValueError, match="of 3 scores 3 were not finite"):
        stop.restore_()
    assert filled(stop.model) == {2.0}


def test_weights_of_another_run_in_the_file_are_not_taken(tmp_path):
    first = EarlyStopping(net(), path=tmp_path / "best.pt")
    told(first, [1.0])
    second = EarlyStopping(net(), path=tmp_path / "best.pt")
    second(NAN)
    with pytest.raises(ValueError, match="nothing to restore"):
        second.restore_()


def test_a_model_that_has_changed_is_refused_and_left_alone():
    model = net()
    stop = EarlyStopping(model)
    stop(1.0)
    model[2] = nn.Linear(4, 2)
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        before["0.weight"].add_(0)
    with pytest.raises(ValueError, match=r"kept `2.weight` in shape \(1, 4\) and the model has \(2, 4\)"):
        stop.restore_()
    model.append(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"differ in \['3.bias', '3.weight'\]"):
        stop.restore_()
    assert all(torch.equal(v, model.state_dict()[n]) for n, v in before.items())


@given(runs, st.integers(0, 40), st.integers(1, 3), st.booleans())
def test_it_goes_on_from_a_checkpoint_as_if_never_interrupted(scores, cut, smooth, through_torch):
    whole = EarlyStopping(net(), 3, smooth=smooth)
    expected = told(whole, scores)
    first = EarlyStopping(net(), 3, smooth=smooth)
    early = told(first, scores[:cut])
    state = copy.deepcopy(first.state_dict()) if through_torch else first.state_dict()
    second = EarlyStopping(net(), 3, smooth=smooth)
    second.load_state_dict(state)
    if early is None:
        late = None
        for number, score in enumerate(scores[cut:], cut):
            with torch.no_grad():
                for value in second.model.state_dict().values():
                    value.fill_(number)
            if second(score):
                late = number
                break
        assert late == expected
        assert (second.best, second.best_at, second.bad) == (whole.best, whole.best_at, whole.bad)
        if whole.best is not None:
            assert filled(second.restore_()) == filled(whole.restore_())
    else:
        assert early == expected


def test_a_checkpoint_goes_through_a_file_and_takes_weights_on_disk_along(tmp_path):
    first = EarlyStopping(net(), path=tmp_path / "one.pt")
    told(first, [2.0, 1.0, 3.0])
    torch.save(first.state_dict(), tmp_path / "checkpoint.pt")
    told(first, [0.5])  # overwrites the file
    second = EarlyStopping(net(), path=tmp_path / "two.pt")
    second.load_state_dict(torch.load(tmp_path / "checkpoint.pt"))
    assert filled(second.restore_()) == {1.0}
    third = EarlyStopping(net())
    third.load_state_dict(torch.load(tmp_path / "checkpoint.pt"))
    assert filled(third.restore_()) == {1.0}


def test_another_objects_state_is_refused():
    stop = EarlyStopping(net())
    with pytest.raises(ValueError, match="pass what its state_dict"):
        stop.load_state_dict({"scores": []})
    with pytest.raises(ValueError, match="pass what its state_dict"):
        stop.load_state_dict(stop.state_dict() | {"more": 1})


class TestNoise:
    def scores(self, spread, seed=0, steps=60):
        torch.manual_seed(seed)
        return [1 / (1 + t / 5) + spread * torch.randn(()).item() for t in range(steps)]

    def test_is_measured_about_the_course_of_the_scores(self):
        found = []
        for seed in range(20):
            stop = EarlyStopping(net(), 1000)
            told(stop, self.scores(0.05, seed, 100))
            found.append(noise(stop.scores))
        assert sum(found) / 20 == pytest.approx(0.05, rel=0.1)

    def test_a_course_without_noise_has_no_advice_and_a_noisy_one_has(self):
        quiet, noisy = EarlyStopping(net(), 5), EarlyStopping(net(), 5)
        told(quiet, self.scores(0))
        assert advice(quiet) is None
        told(noisy, self.scores(0) + [0.08 + 0.03 * (-1) ** t for t in range(5)])
        assert advice(noisy) is None  # the best leads by far more
        found = []
        for seed in range(40):
            noisy = EarlyStopping(net(), 5)
            told(noisy, self.scores(0.3, seed))
            found.append(advice(noisy))
        assert sum(f is not None for f in found) > 10
        assert "EarlyStopping(..., smooth=3)" in next(f for f in found if f)

    def test_few_scores_tell_nothing_and_small_noise_below_the_least_change_is_no_matter(self):
        stop = EarlyStopping(net(), 50, min_change=10.0)
        told(stop, [1.0, 2.0, 1.0])
        assert math.isnan(noise(stop.scores))
        assert advice(stop) is None
        told(stop, self.scores(0.3))
        assert noise(stop.scores) > 0.1
        assert advice(stop) is None

    def test_a_median_of_several_scores_is_not_fooled_by_one(self):
        scores = [5.0, 4.0, 3.0, 0.1, 2.9, 2.8, 2.7, 2.6, 2.5]
        plain, smoothed = EarlyStopping(net(), 4), EarlyStopping(net(), 4, smooth=3)
        assert told(plain, scores) == 7
        assert told(smoothed, scores) is None
        assert smoothed.best_at == 8

    def test_smoothing_judges_full_windows_only(self):
        stop = EarlyStopping(net(), 4, smooth=3)
        assert told(stop, [0.1, 9.0]) is None
        assert stop.best is None
        assert told(stop, [8.0]) is None
        assert stop.best == 8.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": 0}, "patience=0"),
        ({"smooth": 0}, "smooth=0"),
        ({"min_change": -1.0}, "min_change=-1.0"),
        ({"min_change": NAN}, "min_change=nan"),
        ({"mode": "best"}, "mode='best'; it takes 'min' for losses"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(net(), **arguments)


def test_the_object_is_short():
    tree = ast.parse(inspect.getsource(EarlyStopping))
    docs = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Expr) and isinstance(getattr(n.value, "value", None), str)
    ]
    prose = {line for d in docs for line in range(d.lineno, d.end_lineno + 1)}
    source = inspect.getsource(EarlyStopping).splitlines()
    code = [line for number, line in enumerate(source, 1) if line.strip() and number not in prose]
    assert len(code) < 60


def test_alone_a_score_agrees_with_itself():
    assert agree(0.5) == 0.5
    assert agree(0.5, 30) == 0.5
    with pytest.raises(ValueError, match="samples=-1"):
        agree(0.5, -1)


RANKS = """
import math, os, sys
import torch
from torch import distributed as dist, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from trainwright.stopping import EarlyStopping, advice, agree, noise

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 3))
if sys.argv[1] == "sharded":
    fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
sgd = torch.optim.SGD(net.parameters(), lr=0.05)
stop = EarlyStopping(net, 3)
best = None
generator = torch.Generator().manual_seed(rank)
for step in range(200):
    sgd.zero_grad()
    net(torch.randn(8, 3, generator=torch.Generator().manual_seed(step))).square().mean().backward()
    if sys.argv[1] != "sharded":
        for p in net.parameters():
            dist.all_reduce(p.grad)
    sgd.step()
    own = 0.1 + torch.rand((), generator=generator).item() / (1 + step)  # each rank has another
    if step == 2 and rank == 1:
        own = math.nan
    done = stop(agree(own, 3 + rank))
    if stop.best_at == step:
        best = [v.full_tensor().clone() if hasattr(v, "full_tensor") else v.clone() for v in net.state_dict().values()]
    if done:
        break
stop.restore_()
now = [v.full_tensor() if hasattr(v, "full_tensor") else v for v in net.state_dict().values()]
same = all(torch.equal(a, b) for a, b in zip(best, now, strict=True))
os.write(1, f"ended {step} {stop.best!r} {stop.best_at} {stop.not_finite} {same}\\n".encode())
dist.destroy_process_group()
"""


@pytest.mark.parametrize("kind", ["replicated", "sharded"])
def test_all_ranks_stop_at_the_same_step_with_the_best_weights_of_all(tmp_path, kind):
    (tmp_path / "train.py").write_text(RANKS)
    command = "-m torch.distributed.run --standalone --nproc-per-node=2".split()
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path / "train.py"), kind],
        capture_output=True,
        text=True,
        check=False,
    )
    ends = [line for line in done.stdout.splitlines() if line.startswith("ended")]
    assert len(ends) == 2, done.stderr[-2000:]
    assert ends[0] == ends[1]
    _, step, _, best_at, not_finite, same = ends[0].split()
    assert int(step) == int(best_at) + 3
    assert int(step) > 3
    assert (not_finite, same) == ("1", "True")
