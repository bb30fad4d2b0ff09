"""Parameters in shards on two ranks: groups, clipping, norms and averages give what one process gives."""

import subprocess
import sys

SCRIPT = """
import copy, math, os
import torch
from torch import distributed as dist, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor, Replicate, Shard
from trainwright import average, clip, groups, norm

dist.init_process_group("gloo")
rank, mesh = dist.get_rank(), init_device_mesh("cpu", (2,))


def built():
    torch.manual_seed(0)  # sides that two ranks cannot share equally
    return nn.Sequential(
        nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 7, bias=False), nn.LayerNorm(7), nn.Linear(7, 1)
    )


def sharded():
    net = built()
    for part in (net[0], net[3]):
        fully_shard(part, mesh=mesh)
    return fully_shard(net, mesh=mesh)


def whole(t):
    t = t.detach()
    return t.full_tensor() if isinstance(t, DTensor) else t


def close(a, b, tolerance=1e-5):
    a, b = [whole(t) for t in a], [whole(t) for t in b]
    assert all(torch.allclose(s, t, rtol=tolerance, atol=1e-7) for s, t in zip(a, b, strict=True)), (a, b)


def backward(net, factor=100.0):
    net.zero_grad()
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    (factor * net(x).square().mean()).backward()


def grads(net):
    return [p.grad for p in net.parameters()]


def test_groups():
    one, two = (groups.decay_groups(net, 0.1) for net in (built(), sharded()))
    assert [len(g["params"]) for g in one] == [len(g["params"]) for g in two] == [3, 6]
    net = sharded()
    assert groups.missing(net, torch.optim.AdamW(two, lr=0.1)) != []
    assert groups.missing(net, torch.optim.AdamW(groups.decay_groups(net, 0.1), lr=0.1)) == []
    assert len(groups.layer_rates(net, 0.1, 0.5)) == 7


def test_clipping():
    for by, nonfinite in [(clip.by_norm_, "skip"), (clip.by_norm_, "keep"), (clip.by_value_, "skip")]:
        for limit in (0.5, 1e6):
            one, two = built(), sharded()
            backward(one), backward(two)
            a, b = (by(net.parameters(), limit, nonfinite=nonfinite) for net in (one, two))
            assert not isinstance(b, DTensor)
            close([a], [b])
            close(grads(one), grads(two))
    one, two = built(), sharded()
    backward(one), backward(two)
    a, b = (clip.adaptive_(net, 0.01, output=net[5]) for net in (one, two))
    assert a > 0
    close([a], [b])
    close(grads(one), grads(two))


def test_one_rank_with_an_infinity_makes_all_skip():
    for by in (clip.by_norm_, clip.by_value_, lambda p, l: clip.adaptive_(net, l, output=None)):
        net = sharded()
        backward(net)
        if rank == 1:
            net[3].weight.grad.to_local()[0, 0] = math.inf
        by(net.parameters(), 1.0)
        assert all(g is None for g in grads(net))
        backward(net)


def test_copies_count_once_and_parts_may_lie_differently():
    torch.manual_seed(3)
    values = [torch.randn(5, 4) for _ in range(4)]
    plain = [nn.Parameter(torch.zeros(5, 4)) for _ in values]
    placed = [None, [Replicate()], [Shard(0)], [Shard(1)]]
    lay = lambda t, how: t if how is None else distribute_tensor(t, mesh, how)
    spread = [nn.Parameter(lay(p.data, how)) for p, how in zip(plain, placed)]
    for p, q, how, value in zip(plain, spread, placed, values):
        p.grad = value.clone()
        q.grad = lay(value.clone(), how)
    close([clip.by_norm_(plain, 1.0)], [clip.by_norm_(spread, 1.0)])
    close([p.grad for p in plain], [p.grad for p in spread])


def test_averages():
    one, two = built(), sharded()
    averages = [average.Average(net, average.ema(0.7)) for net in (one, two)]
    for net, mean in zip((one, two), averages):
        sgd = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(4):
            backward(net, 1.0)
            sgd.step()
            mean.update()
    before = [whole(p).clone() for p in two.parameters()]
    x = torch.randn(32, 3, generator=torch.Generator().manual_seed(2))
    with averages[0].swapped([x]), averages[1].swapped([x]):
        close(one.parameters(), two.parameters())
        close(one.buffers(), two.buffers())
        one.eval(), two.eval()
        close([one(x)], [two(x)], 1e-4)
    assert all(torch.equal(a, whole(b)) for a, b in zip(before, two.parameters()))
    again = average.Average(two, average.ema(0.7))
    again.load_state_dict(averages[1].state_dict())
    again.update(), averages[1].update()
    assert all(torch.equal(whole(again.averages[k]), whole(v)) for k, v in averages[1].averages.items())


def test_statistics_over_ranks():
    torch.manual_seed(5)
    x = torch.randn(30, 3) + torch.arange(30)[:, None]
    own = x[:20] if rank == 0 else x[20:]  # not the same number
    net, alone = built(), nn.BatchNorm1d(3)
    shared = norm.reestimate_(nn.BatchNorm1d(3), own.split(7), over_ranks=True)
    norm.reestimate_(alone, x.split(6))
    close(shared.buffers(), [alone.running_mean, alone.running_var, shared.num_batches_tracked])


for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
os.write(1, b"ended well\\n")
dist.destroy_process_group()
"""


def test_on_two_ranks_all_is_as_in_one_process(tmp_path):
    (tmp_path / "ranks.py").write_text(SCRIPT)
    command = "-m torch.distributed.run --standalone --nproc-per-node=2".split()
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path / "ranks.py")], capture_output=True, text=True, check=False
    )
    assert done.stdout.count("ended well") == 2, done.stderr[:3000]
