"""Three-fold cross-validation: three models in one process, one after the other; nothing wrong."""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import scale
from torch import nn


def build_model():
    return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))


def train_one_fold(model, x, y):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(3):
        for index in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss = criterion(model(x[index]), y[index])
            loss.backward()
            optimizer.step()
    return loss.item()


torch.manual_seed(0)
columns, labels = load_breast_cancer(return_X_y=True)
features, target = torch.tensor(scale(columns), dtype=torch.float32), torch.tensor(labels)
for fold, (train, valid) in enumerate(StratifiedKFold(3).split(columns, labels)):
    model = build_model()
    loss = train_one_fold(model, features[train], target[train])
    with torch.no_grad():
        accuracy = (model(features[valid]).argmax(1) == target[valid]).float().mean().item()
    print(f"fold {fold}: loss {loss:.3f}, accuracy {accuracy:.3f}")
