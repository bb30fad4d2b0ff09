"""Mixed precision: scaled losses, skipped steps and fused optimisers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainwright.signals import grad_norm, loss, update_ratio

from .twice import twice


def net_and_batches(count):
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    return net, [(torch.randn(8, 4), torch.randint(0, 3, (8,))) for _ in range(count)]


def bf16():
    net, batches = net_and_batches(10)
    adam = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for x, y in batches:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(net(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return net


def test_autocast_is_noticed():
    facts = twice(bf16).facts

    assert (facts["amp"], facts["scaler"], facts["steps"]) == ("bfloat16", False, 10)
    assert facts["losses"][0]["kind"] == "cross_entropy"
    assert facts["losses"][0]["input_from"] == "linear"


def scaled(optimizer_of, *, unscale, overflow_at=()):
    """A loop with a scaler; in the batches `overflow_at` the gradient overflows."""

    def train():
        net, batches = net_and_batches(12)
        optimizer = optimizer_of(net.parameters())
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for i, (x, y) in enumerate(batches):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            if i in overflow_at:
                net[0].weight.grad[0, 0] = torch.inf
            if unscale:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(net.parameters(), 1e6)
            scaler.step(optimizer)
            scaler.update()
        return net

    return train


def plain_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def fused_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, fused=True)


def fused_adam(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, fused=True)


def unscaled_run():
    net, batches = net_and_batches(12)
    sgd = plain_sgd(net.parameters())
    for x, y in batches:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(net(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    return net


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("optimizer", [plain_sgd, fused_sgd])
def test_a_scaled_run_reads_like_the_same_run_without_a_scaler(optimizer, unscale):
    run = twice(scaled(optimizer, unscale=unscale))
    plain = twice(unscaled_run)

    assert run.facts["scaler"]
    assert (run.facts["steps"], run.facts["skipped_steps"]) == (12, 0)
    # Powers of two scale without rounding, so only what bf16 loses near its smallest numbers may differ.
    for signal in (loss, grad_norm, update_ratio):
        assert run[signal].places == plain[signal].places
        assert run[signal].values == pytest.approx(plain[signal].values, rel=0.02)


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("optimizer", [plain_sgd, fused_sgd, fused_adam])
def test_a_step_that_the_scaler_skips_is_no_step_and_no_fault(optimizer, unscale):
    run = twice(scaled(optimizer, unscale=unscale, overflow_at=(0, 3, 4, 9)))

    facts = run.facts
    assert (facts["steps"], facts["skipped_steps"]) == (8, 4)
    assert facts["non_finite"] is None or facts["non_finite"]["handled"]
    assert len(run[loss].steps) == 8
    assert (run[grad_norm].values < 100).all()  # scaled by 1024 they would be more


def two_optimisers():
    net, batches = net_and_batches(8)
    first, last = plain_sgd(net[0].parameters()), plain_sgd(net[2].parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    for x, y in batches:
        net.zero_grad()
        scaler.scale(F.cross_entropy(net(x), y)).backward()
        scaler.step(first)
        scaler.step(last)
        scaler.update()
    return net


def test_one_scaler_may_serve_two_optimisers():
    facts = twice(two_optimisers).facts

    assert (facts["steps"], facts["skipped_steps"], len(facts["optimizers"])) == (8, 0, 2)
