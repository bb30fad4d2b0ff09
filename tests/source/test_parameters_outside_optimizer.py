import pytest

from .snippets import rules

NET = """
class Net(nn.Module):
    def __init__(self, depth=3):
        super().__init__()
        {made}
    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x
{rest}
"""


def net(made, rest=""):
    return NET.format(made=made, rest=rest)


TRAIN = """
for x, y in loader:
    adam.zero_grad()
    criterion(net(x), y).backward()
    adam.step()
"""
SICK = {
    "a list": net("self.layers = [nn.Linear(4, 4), nn.Linear(4, 3)]"),
    "a comprehension": net("self.layers = [nn.Linear(4, 4) for _ in range(depth)]"),
    "appended": net("self.layers = []\n        for _ in range(depth): self.layers.append(nn.Linear(4, 4))"),
    "a dict": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {"a": nn.Linear(4, 1), "b": nn.Linear(4, 1)}
    def forward(self, x, task):
        return self.heads[task](x)
""",
    "modules of the file": """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
"""
    + net("self.layers = [Block() for _ in range(depth)]"),
    "a head put in later": f"""
net = models.resnet18()
adam = optim.Adam(net.parameters(), lr=1e-3)
net.fc = nn.Linear(512, 10)
{TRAIN}""",
    "an entry of a sequence": f"""
net = models.vgg16()
adam = optim.Adam(filter(lambda p: p.requires_grad, net.parameters()))
net.classifier[6] = nn.Sequential(nn.Dropout(), nn.Linear(4096, 10))
{TRAIN}""",
    "in a function": """
def main():
    net = models.resnet18()
    adam = optim.AdamW(net.parameters())
    net.fc = nn.Linear(512, 10)
    train(net, adam)
""",
}
HEALTHY = {
    "a module list": net("self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 3)])"),
    "added by hand": net(
        "self.layers = [nn.Linear(4, 4)]\n        for i, m in enumerate(self.layers): self.add_module(str(i), m)"
    ),
    "wrapped afterwards": net(
        "self.layers = [nn.Linear(4, 4), nn.ReLU()]\n        self.net = nn.Sequential(*self.layers)"
    ),
    "without weights": net("self.layers = [nn.ReLU(), nn.Flatten()]"),
    "hidden on purpose": net("self.main = nn.Linear(4, 4)\n        self.layers = [self.main]"),
    "handed over by hand": net("self.layers = [nn.Linear(4, 4)]")
    + "adam = optim.Adam([p for l in Net().layers for p in l.parameters()])",
    "its own parameters": net(
        "self.layers = [nn.Linear(4, 4)]",
        "    def parameters(self):\n        return [p for l in self.layers for p in l.parameters()]",
    ),
    "no module": net("self.layers = [nn.Linear(4, 4)]").replace("nn.Module", "object"),
    "the head first": f"""
net = models.resnet18()
net.fc = nn.Linear(512, 10)
adam = optim.Adam(net.parameters())
{TRAIN}""",
    "given to the optimiser": f"""
net = models.resnet18()
adam = optim.Adam(net.parameters())
net.fc = nn.Linear(512, 10)
adam.add_param_group({{"params": net.fc.parameters()}})
{TRAIN}""",
    "a new optimiser": f"""
net = models.resnet18()
adam = optim.Adam(net.parameters())
net.fc = nn.Linear(512, 10)
adam = optim.Adam(net.parameters())
{TRAIN}""",
    "nothing to learn": f"""
net = models.resnet18()
adam = optim.Adam(net.parameters())
net.fc = nn.Identity()
{TRAIN}""",
    "after the training": f"""
net = models.resnet18()
adam = optim.Adam(net.parameters())
{TRAIN}
net.fc = nn.Linear(512, 2)
""",
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["parameters-outside-optimizer"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
