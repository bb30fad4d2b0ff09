"""Twenty-four pre-norm residual blocks on the digits."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


class DeepNet(nn.Module):
    def __init__(self, depth=24, width=48, classes=10):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Trainer:
    """Owns the model, the optimiser and the data."""

    def __init__(self, seed, epochs=6, batch_size=64):
        torch.manual_seed(seed)
        x, y = load_digits(return_X_y=True)
        x = (x - x.mean()) / x.std()
        split = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y)
        self.x, self.x_val = (torch.tensor(a, dtype=torch.float32) for a in split[:2])
        self.y, self.y_val = (torch.tensor(a) for a in split[2:])
        self.model = DeepNet()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01)
        self.criterion = nn.CrossEntropyLoss()
        self.epochs, self.batch_size = epochs, batch_size

    def fit(self):
        for epoch in range(self.epochs):
            self.model.train()
            total = 0.0
            for index in torch.randperm(len(self.x)).split(self.batch_size):
                loss = self.criterion(self.model(self.x[index]), self.y[index])
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
                total += loss.item() * len(index)
            print(f"epoch {epoch}: train {total / len(self.x):.4f}, validation {self.validate():.4f}")

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        return self.criterion(self.model(self.x_val), self.y_val).item()

    @torch.no_grad()
    def accuracy(self):
        self.model.eval()
        return (self.model(self.x_val).argmax(1) == self.y_val).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    trainer = Trainer(parser.parse_args().seed)
    trainer.fit()
    score = trainer.accuracy()
    print(f"score={score:.4f} needs=0.94")
    sys.exit(int(score < 0.94))
