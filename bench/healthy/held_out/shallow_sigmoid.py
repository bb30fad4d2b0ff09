"""One hidden sigmoid layer names the digits."""

import argparse
import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class NeuralNet(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.sigmoid = nn.Sigmoid()
        self.fc2 = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        out = self.fc1(x)
        out = self.sigmoid(out)
        return self.fc2(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    y = torch.tensor(digits.target)[order]
    train_loader = DataLoader(TensorDataset(x[:1300], y[:1300]), batch_size=50, shuffle=True)
    test_loader = DataLoader(TensorDataset(x[1300:], y[1300:]), batch_size=50, shuffle=False)

    model = NeuralNet(64, 100, 10)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    total_step = len(train_loader)
    for epoch in range(12):
        for i, (images, labels) in enumerate(train_loader):
            outputs = model(images)
            loss = criterion(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (i + 1) % 13 == 0:
                print(f"Epoch [{epoch + 1}/12], Step [{i + 1}/{total_step}], Loss: {loss.item():.4f}")

    with torch.no_grad():
        correct = 0
        for images, labels in test_loader:
            _, predicted = torch.max(model(images).data, 1)
            correct += (predicted == labels).sum().item()
    score = correct / 497
    print(f"score={score:.4f} needs=0.94")
    return int(score < 0.94)


if __name__ == "__main__":
    sys.exit(main())
