import pytest

from .snippets import rules

LOOP = """
best, kept = float("inf"), None
for epoch in range(9):
    train(model, loader, optimizer)
    loss = validate(model)
    if loss < best:
        best = loss
        {keep}
{after}
"""


def loop(keep, after="model.load_state_dict(kept)"):
    return LOOP.format(keep=keep, after=after)


SICK = {
    "by reference": loop("kept = model.state_dict()"),
    "a shallow copy": loop("kept = model.state_dict().copy()"),
    "a new dict": loop("kept = dict(model.state_dict())"),
    "copy of copy": loop("kept = copy.copy(model.state_dict())"),
    "a comprehension": loop("kept = {k: v for k, v in model.state_dict().items()}"),
    "saved at the end": loop("kept = model.state_dict()", "torch.save(kept, 'best.pt')"),
    "returned": "def fit(model):\n"
    + "\n".join(
        "    " + line for line in loop("kept = model.state_dict()", "return kept, best").splitlines()
    ),
    "the whole model": loop("best_model = model", "print(validate(best_model))"),
    "an object that stops early": """
class Stopper:
    def __init__(self):
        self.best, self.best_weights = float("inf"), None
    def __call__(self, loss, net):
        if loss < self.best:
            self.best = loss
            self.best_weights = net.state_dict()
    def restore(self, net):
        net.load_state_dict(self.best_weights)
""",
    "steps in the loop itself": """
for x, y in loader:
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    if loss.item() < lowest:
        lowest = loss.item()
        weights = model.state_dict()
model.load_state_dict(weights)
""",
}
HEALTHY = {
    "deep copy": loop("kept = copy.deepcopy(model.state_dict())"),
    "clones": loop("kept = {k: v.clone() for k, v in model.state_dict().items()}"),
    "written at once": loop("torch.save(model.state_dict(), 'best.pt')", ""),
    "written at once, by a name": loop("kept = model.state_dict(); torch.save(kept, 'best.pt')", ""),
    "the loop ends there": loop("kept = model.state_dict(); break"),
    "a model a round": """
best = 0
for lr in rates:
    net = build()
    train(net, lr)
    if validate(net) > best:
        best_model = net
        kept = net.state_dict()
best_model.eval()
model.load_state_dict(kept)
""",
    "a deep copy of the model": loop("best_model = copy.deepcopy(model)", "validate(best_model)"),
    "outside any loop": "kept = model.state_dict()\nother.load_state_dict(kept)",
    "the optimiser's": loop("kept = optimizer.state_dict()", "optimizer.load_state_dict(kept)"),
    "names only": loop("names = model.state_dict()", "print(len(names))"),
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["stale-best-weights"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
