import pytest

from .snippets import rules

LOOP = "for x, y in loader:\n    optimizer.zero_grad()\n"
SICK = {
    "item": "    loss = criterion(model(x), y).item()\n    loss.backward()",
    "a new tensor that asks for gradients": """\
    loss = criterion(model(x), y)
    loss = torch.tensor(loss.item(), requires_grad=True)
    loss.backward()""",
    "a new variable of its data": """\
    loss = criterion(model(x), y)
    loss = torch.autograd.Variable(loss.data, requires_grad=True)
    loss.backward()""",
    "a detached output": """\
    out = model(x).detach()
    loss = criterion(out, y)
    loss.backward()""",
    "its data": """\
    output = model(x)
    loss = F.mse_loss(output.data, y)
    loss.backward()""",
    "class ids": """\
    x, y = x.to(device), y.to(device)
    guess = model(x).argmax(1).float()
    (F.mse_loss(guess, y) * 2).backward()""",
    "detached and asked again": """\
    loss = criterion(model(x), y).detach().requires_grad_()
    loss.backward()""",
    "through numpy": """\
    p = model(x).detach().cpu().numpy()
    loss = F.l1_loss(torch.from_numpy(p), y)
    loss.backward()""",
}
HEALTHY = {
    "item to print": "    loss = criterion(model(x), y)\n    loss.backward()\n    print(loss.item())",
    "a detached target": "    loss = F.mse_loss(model(x), target_net(x).detach())\n    loss.backward()",
    "a codebook": """\
    z = encoder(x)
    loss = F.mse_loss(codes.detach(), z) + F.mse_loss(codes, z.detach())
    loss.backward()""",
    "a generator's picture": """\
    fake = generator(x)
    loss = criterion(model(fake.detach()), y)
    loss.backward()""",
    "a picture that is optimised": """\
    picture = model(x).detach().requires_grad_()
    loss = F.mse_loss(picture, y)
    loss.backward()""",
    "a gradient with respect to the input": """\
    x = x.clone().detach().requires_grad_(True)
    loss = criterion(model(x), y)
    loss.backward()""",
    "an advantage": "    loss = -(dist.log_prob(a) * advantage.detach()).mean()\n    loss.backward()",
    "bounds kept for later": """\
    loss = criterion(model(x), y)
    kept = loss.detach()
    loss.backward()""",
    "backpropagation cut in time": "    h = h.detach()\n    out, h = rnn(x, h)\n    criterion(out, y).backward()",
    "a batch with data": "    loss = criterion(model(x.data), y)\n    loss.backward()",
    "made again in between": """\
    loss = criterion(model(x), y).item()
    loss = criterion(model(x), y)
    loss.backward()""",
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(f"{LOOP}{text}\n    optimizer.step()") == ["detached-graph"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(f"{LOOP}{text}\n    optimizer.step()") == []
