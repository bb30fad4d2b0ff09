import pytest

from .snippets import rules

LOOP = """
total = 0.0
for x, y in loader:
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    {sum}
print(total / len(loader))
"""
EVALUATE = """
def evaluate(net, batches):
    net.eval()
    right = 0
    for x, y in batches:
        {use}
    return right

print(evaluate(model, loader))
"""


def loop(sum):
    return LOOP.format(sum=sum)


def evaluate(use):
    return EVALUATE.format(use=use)


SICK = {
    "summed": loop("total += loss"),
    "summed by samples": loop("total += loss * x.size(0)"),
    "in a function": "def train():\n" + "\n".join("    " + s for s in loop("total += loss").splitlines()),
    "validated with gradients": evaluate("right += (net(x).argmax(1) == y).sum().item()"),
}
HEALTHY = {
    "item": loop("total += loss.item()"),
    "detach": loop("total += loss.detach()"),
    "float": loop("total += float(loss)"),
    "item before": loop("loss = loss.item(); total += loss"),
    "without gradients": loop("with torch.no_grad(): total += loss"),
    "losses that are one": """
for x, y in loader:
    optimizer.zero_grad()
    total = 0
    for head in heads:
        loss = criterion(head(x), y)
        total += loss
    total.backward()
    optimizer.step()
""",
    "a regulariser": """
penalty = 0.0
for x, y in loader:
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward(retain_graph=True)
    penalty += loss
    penalty.backward()
    optimizer.step()
""",
    "started anew each round": """
for x, y in loader:
    optimizer.zero_grad()
    total = 0.0
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    total += loss
""",
    "validated under no_grad": evaluate("with torch.no_grad(): right += net(x).sum()"),
    "its caller sees to it": EVALUATE.format(use="right += net(x)").replace(
        "print(evaluate(model, loader))", "with torch.inference_mode():\n    evaluate(model, loader)"
    ),
    "decorated": "@torch.no_grad()" + evaluate("right += net(x).sum()"),
    "an attack": evaluate("x.requires_grad_(); net(x).sum().backward(); right += x.grad.sum()"),
    "of a library": evaluate("right += net(x)").replace("print(evaluate(model, loader))", ""),
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["retained-graph"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
