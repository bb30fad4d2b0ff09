"""Several processes: ranks under torchrun, spawned and forked children, workers of data loaders."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from trainwright.observe import store
from trainwright.observe.replicas import KEPT, Replicas, check_sum
from trainwright.signals import activation_std, grad_norm, loss, update_ratio, weight_norm

from .twice import side_by_side, twice

HEAD = """
import hashlib, os, sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 16)
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))

def digest(net):
    local = [getattr(p.detach(), "_local_tensor", p.detach()) for p in net.parameters()]
    bits = b"".join(p.contiguous().numpy().tobytes() for p in [*local, torch.get_rng_state()])
    return hashlib.sha256(bits).hexdigest()

def say(*what):
    os.write(1, f"ended {' '.join(map(str, what))}\\n".encode())  # at once: ranks share the pipe

def end(net):
    started = dist.group.WORLD._get_sequence_number_for_group()  # collectives
    say(dist.get_rank(), started, digest(net))
    dist.destroy_process_group()

def fit(net, steps=8, clip=False):
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(steps):
        sgd.zero_grad()
        F.cross_entropy(net(torch.randn(8, 4)), torch.randint(0, 3, (8,))).backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        sgd.step()
"""

DDP = """
if __name__ == "__main__":
    dist.init_process_group("gloo")
    torch.manual_seed(dist.get_rank())
    net = nn.parallel.DistributedDataParallel(Net())
    fit(net)
    end(net)
"""

FSDP = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

if __name__ == "__main__":
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    net, mesh = Net(), init_device_mesh("cpu", (2,))
    for part in (net.first, net.last, net):
        fully_shard(part, mesh=mesh)
    fit(net, clip=True)
    end(net)
"""

TENSOR_PARALLEL = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor import parallel

if __name__ == "__main__":
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    net, mesh = Net(), init_device_mesh("cpu", (2,))
    whole = dict(use_local_output=False, output_layouts=Replicate())
    rows = whole | dict(input_layouts=Replicate(), output_layouts=Shard(-1))
    parallel.parallelize_module(net, mesh, {
        "first": parallel.ColwiseParallel(**whole),
        "last": parallel.RowwiseParallel(**rows),
    })
    adam = torch.optim.Adam(net.parameters(), lr=0.01, foreach=False)
    for _ in range(8):
        adam.zero_grad()
        y = DTensor.from_local(torch.randint(0, 3, (8,)), mesh, [Replicate()])
        with parallel.loss_parallel():
            F.cross_entropy(net(torch.randn(8, 4)), y).backward()
        adam.step()
    end(net)
"""

SPAWN = """
def work(rank, port):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(0)
    net = Net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(6):
        sgd.zero_grad()
        F.cross_entropy(net(torch.randn(8, 4)), torch.randint(0, 3, (8,))).backward()
        for p in net.parameters():
            dist.all_reduce(p.grad)
        sgd.step()
        if step == 2 and rank == 1:  # out of step from here on
            with torch.no_grad():
                net.last.bias.add_(1)
    end(net)

if __name__ == "__main__":
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(work, args=(port,), nprocs=2)
"""

FORK = """
def work(number, net):
    torch.manual_seed(number)
    fit(net, steps=6)
    say(number, digest(net))

if __name__ == "__main__":
    torch.manual_seed(5)
    net = Net()
    net.share_memory()
    for number in range(2):  # one after the other, so that the end is the same each time
        child = torch.multiprocessing.get_context("fork").Process(target=work, args=(number, net))
        child.start()
        child.join()
        assert child.exitcode == 0
    say("parent", digest(net))
"""


def both(tmp_path, script, *, torchrun=False, lines=2):
    """The folder and the record of a script that was run watched and unwatched."""
    path, folder = tmp_path / "train.py", tmp_path / "run"
    path.write_text(HEAD + script)
    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if torchrun else []
    side_by_side([path], folder, launcher=ranks, lines=lines)
    return folder, store.load(folder)


def record(folder, name):
    return store.load(folder / f"{name}.sqlite")


def test_under_ddp_each_rank_has_its_record_and_replicas_are_compared(tmp_path):
    folder, run = both(tmp_path, DDP, torchrun=True)

    assert {p.name for p in folder.glob("*.sqlite")} == {"rank0.sqlite", "rank1.sqlite"}
    for rank in range(2):
        one = record(folder, f"rank{rank}")
        assert (one.facts["rank"], one.facts["world_size"], one.facts["steps"]) == (rank, 2, 8)
        assert one.facts["own_failures"] == []
    assert run.facts["replicas"] == {"ranks": 2, "equal": True, "step": 7}
    assert run.facts["roots"] == ["DistributedDataParallel"]
    assert set(run.facts["parameters"]) == {"first.weight", "first.bias", "last.weight", "last.bias"}
    assert run[activation_std].places == ("first", "last")
    assert not run.facts["sharded"]
    # What the optimiser gets is averaged: the same on both ranks. The losses are not.
    one, other = (record(folder, f"rank{rank}") for rank in range(2))
    assert (one[grad_norm].values == other[grad_norm].values).all()
    assert (one[loss].values != other[loss].values).all()


def test_under_fsdp_norms_are_put_together_from_the_shards(tmp_path):
    folder, run = both(tmp_path, FSDP, torchrun=True)

    assert run.facts["sharded"]
    assert "replicas" not in run.facts
    assert run.facts["own_failures"] == []
    assert run.facts["optimizers"][0]["clip"][0]["limit"] == 1.0
    names = ("first.weight", "first.bias", "last.weight", "last.bias")
    assert run[grad_norm].places == run[update_ratio].places == names
    assert run.facts["parameters"]["first.weight"]["shape"] == [16, 4]
    assert run[activation_std].places == ("first", "last")
    one, other = (record(folder, f"rank{rank}")[weight_norm] for rank in range(2))
    squares = one.values.astype(float) ** 2 + other.values.astype(float) ** 2
    assert run[weight_norm].values == pytest.approx(squares**0.5, rel=1e-5)
    torch.manual_seed(0)
    assert run[weight_norm].values[0, 0] == pytest.approx(
        float(nn.Linear(4, 16).weight.detach().norm()), rel=0.1
    )


def test_with_tensor_parallelism_nobody_is_asked_and_copies_count_once(tmp_path):
    folder, run = both(tmp_path, TENSOR_PARALLEL, torchrun=True)

    facts = run.facts
    assert (facts["steps"], facts["own_failures"], facts["sharded"]) == (8, [], True)
    assert facts["losses"][0]["kind"] == "cross_entropy"
    assert facts["losses"][0]["input_shape"] is None  # a DTensor, at which we do not look
    assert {n: p["shards"] for n, p in facts["parameters"].items()} == {
        "first.weight": 2,
        "first.bias": 2,
        "last.weight": 2,
        "last.bias": 1,
    }
    one, other = (record(folder, f"rank{rank}")[weight_norm] for rank in range(2))
    assert run[weight_norm].values[:, 3] == pytest.approx(one.values[:, 3], rel=1e-6)
    assert run[weight_norm].values[:, 0] == pytest.approx(np.hypot(one.values[:, 0], other.values[:, 0]))


def test_spawned_ranks_are_watched_and_a_replica_out_of_step_is_seen(tmp_path):
    folder, run = both(tmp_path, SPAWN)

    assert len(list(folder.glob("p*.sqlite"))) == 2
    assert run.facts["world_size"] == 2
    assert run.facts["steps"] == 6
    assert run.facts["own_failures"] == []
    assert run.facts["replicas"] == {"ranks": 2, "equal": False, "step": 3}


def test_forked_children_that_train_have_records_of_their_own(tmp_path):
    folder, run = both(tmp_path, FORK, lines=3)

    assert record(folder, "rank0").facts["steps"] == 0
    children = [store.load(p) for p in folder.glob("p*.sqlite")]
    assert [child.facts["steps"] for child in children] == [6, 6]
    assert [child.facts["own_failures"] for child in children] == [[], []]
    assert run.facts["steps"] == 6
    assert run.facts["losses"][0]["kind"] == "cross_entropy"
    assert run.facts["exit_status"] == 0


def loading(context):
    def train():
        data = TensorDataset(torch.randn(40, 4), torch.randint(0, 3, (40,)))
        loader = DataLoader(
            data,
            batch_size=10,
            shuffle=True,
            num_workers=1,
            multiprocessing_context=context,
            persistent_workers=context == "spawn",  # starting one takes seconds
        )
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            for x, y in loader:
                sgd.zero_grad()
                F.cross_entropy(net(x), y).backward()
                sgd.step()
        return net

    return train


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_workers_of_a_loader_are_not_in_the_way(context):
    facts = twice(loading(context)).facts

    assert (facts["steps"], facts["epochs"], facts["dataset_size"]) == (8, 2, 40)


class TestCheckSums:
    def test_they_tell_weights_apart_to_the_last_bit(self):
        net = nn.Linear(300, 7)
        before = check_sum(dict(net.named_parameters()))
        assert check_sum(dict(net.named_parameters())) == before
        with torch.no_grad():
            net.bias[3] = torch.nextafter(net.bias[3], torch.tensor(9.0))
        assert check_sum(dict(net.named_parameters())) != before

    def test_any_kind_of_number_can_be_summed_up(self):
        kinds = torch.bfloat16, torch.float64, torch.complex64, torch.float16
        weights = {str(k): nn.Parameter(torch.ones(3, 5, dtype=k).T) for k in kinds}
        weights |= {"none": nn.Parameter(torch.ones(0)), "lazy": nn.UninitializedParameter()}
        assert re.fullmatch("[0-9a-f]{8}", check_sum(weights))

    def test_nothing_is_noted_without_other_ranks(self):
        replicas, net = Replicas(), nn.Linear(2, 2)
        replicas.note(0, [net], dict(net.named_parameters()))
        assert (replicas.team, replicas.sums) == (None, {})

    def test_ranks_that_read_other_steps_keep_some_in_common(self, monkeypatch):
        monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
        monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
        monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
        net = nn.Linear(2, 2)
        one, other = Replicas(), Replicas()
        for step in range(5000):
            for replicas, every in ((one, 4), (other, 8)):
                if step % every == 0:
                    replicas.note(step, [net], dict(net.named_parameters()))
        assert KEPT / 2 <= len(one.sums) <= KEPT
        assert len(one.sums.keys() & other.sums.keys()) >= KEPT / 2
