"""A live gradient scaler that starts far too high: the first steps overflow, are skipped, and all is well."""

import argparse
import sys

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn


class AmpTrainer:
    def __init__(self, model, lr):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22, growth_interval=200)

    def step(self, x, y):
        self.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = nn.functional.cross_entropy(self.model(x), y)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    parts = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
    x_train, x_test = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    y_train, y_test = (torch.tensor(p) for p in parts[2:])
    trainer = AmpTrainer(nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3)), lr=5e-3)
    for epoch in range(40):
        for rows in torch.randperm(len(x_train)).split(16):
            loss = trainer.step(x_train[rows], y_train[rows])
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss {loss:.4f}, scale {trainer.scaler.get_scale():.3g}")
    with torch.no_grad():
        score = (trainer.model(x_test).argmax(1) == y_test).float().mean().item()
    print(f"score={score:.4f} needs=0.92")
    sys.exit(int(score < 0.92))
