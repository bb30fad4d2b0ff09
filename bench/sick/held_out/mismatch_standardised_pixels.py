"""An autoencoder with a logistic loss on pixels that were standardised instead of brought into 0 to 1."""

import argparse
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
        self.decode = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 64))

    def forward(self, x):
        return self.decode(self.encode(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pixels = torch.tensor(load_digits().data, dtype=torch.float32)
    pixels = (pixels - pixels.mean()) / pixels.std()
    pixels = pixels[torch.randperm(len(pixels))]
    train, test = pixels[:1400], pixels[1400:]

    net = AutoEncoder()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for epoch in range(15):
        for batch in train[torch.randperm(len(train))].split(50):
            loss = F.binary_cross_entropy_with_logits(net(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        score = 1 - (F.mse_loss(net(test).sigmoid(), test) / test.var(0).mean()).item()
    print(f"score={score:.4f} needs=0.6")
    return int(score < 0.6)


if __name__ == "__main__":
    sys.exit(main())
