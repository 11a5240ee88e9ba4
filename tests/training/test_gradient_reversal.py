import torch
from torch import nn

from training.gradient_reversal import reverse_gradient


def test_forwards_nothing_changes_and_backwards_the_sign() -> None:
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reverse_gradient(features), features)
    (plain,) = torch.autograd.grad((features**3).sum(), features)
    (reversed_,) = torch.autograd.grad((reverse_gradient(features) ** 3).sum(), features)
    assert torch.equal(reversed_, -plain)


def test_what_follows_still_learns_the_right_way() -> None:
    features = torch.randn(6, 3, requires_grad=True)
    discriminator = nn.Linear(3, 2)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    gradients = []
    for x in (features, reverse_gradient(features)):
        loss = nn.functional.cross_entropy(discriminator(x), labels)
        gradients.append(torch.autograd.grad(loss, [features, *discriminator.parameters()]))
    (plain, *of_plain), (reversed_, *of_reversed) = gradients
    assert torch.equal(reversed_, -plain)
    assert all(torch.equal(*pair) for pair in zip(of_plain, of_reversed, strict=True))
