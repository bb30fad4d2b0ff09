import pytest

from .snippets import rules

NET = "net = nn.Sequential(nn.Linear(4, 8), {layer}, nn.ReLU(), nn.Linear(8, 3))\n"
TRAIN = """
sgd = optim.SGD(net.parameters(), lr=0.1)
for epoch in range(5):
    {first}
    for x, y in loader:
        sgd.zero_grad()
        criterion(net(x), y).backward()
        sgd.step()
    {last}
"""


def script(layer="nn.Dropout(0.5)", first="pass", last="pass", rest=""):
    return NET.format(layer=layer) + TRAIN.format(first=first, last=last) + rest


TEST = """
def test(model, batches):
    {mode}
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum() for x, y in batches)
"""
LOOK = "with torch.no_grad():\n    print(net(x))\n"
CLASS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        return self.fc(self.bn(x))

net = Net().to(device)
"""
EVALUATED = {
    "dropout": script(rest=LOOK),
    "batch norm": script("nn.BatchNorm1d(8)", rest=LOOK),
    "a class": CLASS + TRAIN.format(first="net.train()", last="pass") + LOOK,
    "a function": script(rest=TEST.format(mode="pass") + "print(test(net, loader))"),
    "inference mode": script(rest="@torch.inference_mode()\ndef look(x):\n    return net(x)\n"),
}
TRAINED = {
    "a helper that evaluates": TEST.format(mode="model.eval()") + script(last="test(net, loader)"),
    "a helper that is called twice": TEST.format(mode="model.eval()")
    + script(last="test(net, *held_out)", rest="test(net, loader)"),
    "train before the loop": NET.format(layer="nn.BatchNorm1d(8)")
    + "net.train()\n"
    + TRAIN.format(first="pass", last="net.eval(); print(net(x))"),
}
HEALTHY = {
    "both modes": script(first="net.train()", last="net.eval(); test(net)"),
    "a helper of each": TEST.format(mode="model.eval()")
    + script(first="net.train()", last="test(net, loader)"),
    "back at once": script(last="net.eval(); test(net); net.train()"),
    "no layer that has a mode": script("nn.Tanh()", rest=LOOK),
    "no dropout after all": script("nn.Dropout(0.0)", rest=LOOK),
    "eval once, behind": script(rest="net.eval()\n" + LOOK),
    "a flag": script(first="net.train(True)", rest="net.train(False)\n" + LOOK),
    "frozen on purpose": script("nn.BatchNorm1d(8)", first="net.eval()"),
    "Monte Carlo": "# Monte-Carlo dropout\n" + script(rest=LOOK),
    "a teacher": script(rest="with torch.no_grad():\n    print(teacher(x))\n"),
    "never evaluated": script(),
    "targets of its own": script(first="with torch.no_grad(): goal = other(x)"),
}


@pytest.mark.parametrize("text", EVALUATED.values(), ids=EVALUATED)
def test_evaluation_in_train_mode_is_found_in(text):
    assert rules(text) == ["train-mode-in-evaluation"]


@pytest.mark.parametrize("text", TRAINED.values(), ids=TRAINED)
def test_training_in_eval_mode_is_found_in(text):
    assert rules(text) == ["eval-mode-in-training"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
