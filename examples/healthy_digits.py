"""`sick_digits.py` repaired: ReLU units with a start that suits them instead of sigmoids, pixels from 0 to 1.

python examples/healthy_digits.py
trainwright run examples/healthy_digits.py
"""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class DigitNet(nn.Module):
    def __init__(self, hidden=64, depth=8):
        super().__init__()
        layers = []
        size = 64
        for _ in range(depth):
            linear = nn.Linear(size, hidden)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            layers += [linear, nn.ReLU()]
            size = hidden
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(hidden, 10)

    def forward(self, x):
        return self.head(self.body(x))


def load(batch_size):
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / 16, dtype=torch.float32)
    labels = torch.tensor(labels)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.25, random_state=0)
    train = DataLoader(TensorDataset(train_x, train_y), batch_size, shuffle=True)
    test = DataLoader(TensorDataset(test_x, test_y), batch_size=256)
    return train, test


def evaluate(model, loader, criterion):
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            logits = model(x)
            loss += criterion(logits, y).item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()
            count += len(y)
    return loss / count, correct / count


def main():
    parser = argparse.ArgumentParser(description="Digits.")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    train, test = load(args.batch_size)
    model = DigitNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)

    for epoch in range(1, args.epochs + 1):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        test_loss, accuracy = evaluate(model, test, criterion)
        if epoch % 5 == 0 or epoch == args.epochs:
            print(f"epoch {epoch:3d}  loss {loss.item():.3f}  test {test_loss:.3f}  accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
