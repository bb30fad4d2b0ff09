"""Mixed pairs of digits with soft targets: the training loss stays high on purpose."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.distributions import Beta


class MixupTrainer:
    def __init__(self, model, alpha, lr):
        self.model = model
        self.beta = Beta(alpha, alpha)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)

    def step(self, x, y):
        lam = self.beta.sample()
        partner = torch.randperm(len(x))
        hot = nn.functional.one_hot(y, 10).float()
        mixed = lam * x + (1 - lam) * x[partner]
        target = lam * hot + (1 - lam) * hot[partner]
        loss = self.criterion(self.model(mixed), target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, x, y):
        logits = self.model(x)
        return self.criterion(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=seed)
    x_train, x_test = torch.tensor(x_train).float(), torch.tensor(x_test).float()
    y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
    trainer = MixupTrainer(
        nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)), alpha=0.8, lr=3e-3
    )
    for epoch in range(15):
        for rows in torch.randperm(len(x_train)).split(64):
            loss = trainer.step(x_train[rows], y_train[rows])
        valid, score = trainer.evaluate(x_test, y_test)
        print(f"epoch {epoch}: mixed {loss:.3f}, clean {valid:.3f}, accuracy {score:.3f}")
    print(f"score={score:.4f} needs=0.91")
    sys.exit(int(score < 0.91))
