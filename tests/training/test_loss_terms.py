import pytest
import torch

from training.loss_terms import LossTerms


def test_the_total_is_the_weighted_sum_and_comes_first() -> None:
    terms = LossTerms()
    terms.add("id", 2.0, torch.tensor(3.0))
    terms.add("triplet_g", 0.5, torch.tensor(7.0))
    found = terms.with_total()
    assert list(found) == ["total", "id", "triplet_g"]
    assert {name: term.item() for name, term in found.items()} == {"total": 9.5, "id": 3.0, "triplet_g": 7.0}


def test_the_total_teaches_by_the_weights() -> None:
    leaf = torch.tensor([1.0, 1.0], requires_grad=True)
    terms = LossTerms()
    terms.add("first", 3.0, leaf[0])
    terms.add("second", 0.25, leaf[1])
    (gradient,) = torch.autograd.grad(terms.with_total()["total"], leaf)
    assert gradient.tolist() == [3.0, 0.25]


def test_nothing_is_no_loss() -> None:
    with pytest.raises(ValueError, match="at least one term"):
        LossTerms().with_total()
