import pytest

from .snippets import rules

LOOP = """
for x, y in train_loader:
    optimizer.zero_grad()
    criterion(model(x), y).backward()
    optimizer.step()
"""
FOLDER = "from torchvision import datasets\ntrain = datasets.ImageFolder('pictures')\n"
SICK = {
    "swapped": f"""
train_loader = DataLoader(train, batch_size=8)
test_loader = DataLoader(test, batch_size=8, shuffle=True)
{LOOP}""",
    "a folder a class": f"{FOLDER}train_loader = DataLoader(train, 8, shuffle=False)\n{LOOP}",
    "a sorted table": f"""
from sklearn.datasets import load_iris
x, y = load_iris(return_X_y=True)
train_loader = DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=8)
{LOOP}""",
}
HEALTHY = {
    "shuffled": f"{FOLDER}train_loader = DataLoader(train, 8, shuffle=True)\n{LOOP}",
    "a sampler": f"{FOLDER}train_loader = DataLoader(train, 8, sampler=mixed)\n{LOOP}",
    "said at run time": f"{FOLDER}train_loader = DataLoader(train, 8, shuffle=args.shuffle)\n{LOOP}",
    "in order on purpose": f"train_loader = DataLoader(windows, 8, shuffle=False)\n{LOOP}",
    "a time series with a shuffled test": f"""
series = load()
train_loader = DataLoader(series, batch_size=8)
test_loader = DataLoader(test, batch_size=8, shuffle=True)
{LOOP}""",
    "mixed before": f"""
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
x, y = load_iris(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y)
train_loader = DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=8)
{LOOP}""",
    "validation alone": f"""
train_loader = DataLoader(train, batch_size=8, shuffle=True)
test_loader = DataLoader(test, batch_size=8, shuffle=True)
{LOOP}""",
    "labels that are not used": f"{FOLDER}train_loader = DataLoader(train, 8)\n"
    + LOOP.replace("x, y in", "x, _ in").replace(", y)", ", x)"),
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["unshuffled-data"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
