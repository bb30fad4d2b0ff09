"""A loop of one's own on accelerate, which accumulates gradients and clips them."""

import hashlib

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def data(count):
    x = torch.randn(count, 4)
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())


def train():
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    adam = torch.optim.AdamW(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(adam, 5)
    batches, held_out = DataLoader(data(96), 8, shuffle=True), DataLoader(data(32), 8)
    net, adam, batches, held_out, schedule = accelerator.prepare(net, adam, batches, held_out, schedule)
    for _ in range(3):
        net.train()
        for x, y in batches:
            with accelerator.accumulate(net):
                loss = F.cross_entropy(net(x), y)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(net.parameters(), 1.0)
                adam.step()
                schedule.step()
                adam.zero_grad()
        net.eval()
        with torch.no_grad():
            for x, y in held_out:
                F.cross_entropy(net(x), y)
    return net


if __name__ == "__main__":
    bits = b"".join(p.detach().numpy().tobytes() for p in train().parameters())
    print("ended", hashlib.sha256(bits + torch.get_rng_state().numpy().tobytes()).hexdigest())
