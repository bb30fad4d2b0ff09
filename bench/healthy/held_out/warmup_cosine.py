"""Linear warm-up, then a cosine all the way to a rate of zero."""

import argparse
import math
import sys

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--peak", type=float, default=5e-3)
    parser.add_argument("--warmup", type=int, default=30)
    return parser.parse_args()


def loaders(seed):
    x, y = load_wine(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(x_train)
    for part, target, shuffle in ((x_train, y_train, True), (x_test, y_test, False)):
        rows = torch.tensor(scaler.transform(part), dtype=torch.float32)
        yield DataLoader(TensorDataset(rows, torch.tensor(target)), batch_size=16, shuffle=shuffle)


def main():
    args = get_args()
    torch.manual_seed(args.seed)
    train, test = loaders(args.seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.peak)
    total = args.epochs * len(train)

    def factor(step):
        if step < args.warmup:
            return step / args.warmup
        progress = (step - args.warmup) / (total - args.warmup)
        return 0.5 * (1 + math.cos(math.pi * progress))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(args.epochs):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss {loss.item():.4f}, rate {scheduler.get_last_lr()[0]:.2e}")

    model.eval()
    with torch.no_grad():
        hits = sum((model(x).argmax(1) == y).sum().item() for x, y in test)
    score = hits / len(test.dataset)
    print(f"score={score:.4f} needs=0.92")
    return int(score < 0.92)


if __name__ == "__main__":
    sys.exit(main())
