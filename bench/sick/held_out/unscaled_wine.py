"""The wines' raw measurements, one column in the hundreds, the others near one."""

import argparse
import sys

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class WineNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(13, 32)
        self.fc2 = nn.Linear(32, 3)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = load_wine(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
    train = TensorDataset(torch.tensor(x_train, dtype=torch.float32), torch.tensor(y_train))
    model = WineNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(40):
        for xb, yb in DataLoader(train, batch_size=16, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        guess = model(torch.tensor(x_test, dtype=torch.float32)).argmax(1)
    score = (guess == torch.tensor(y_test)).float().mean().item()
    print(f"score={score:.4f} needs=0.92")
    return int(score < 0.92)


if __name__ == "__main__":
    sys.exit(main())
