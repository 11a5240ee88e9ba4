import torch
import torch.nn.functional as F

from model.polar import FEATURE_DIM, NUM_HEADINGS
from training.heading.templates import SHARPNESS, Templates


def unit_circles(num: int) -> torch.Tensor:
    circles = torch.randn(num, FEATURE_DIM, NUM_HEADINGS, generator=torch.Generator().manual_seed(0))
    return circles / circles.square().sum((1, 2), keepdim=True).sqrt()


def test_likelihoods_are_the_softmax_over_identities_at_each_heading() -> None:
    templates = Templates(5)
    circles, labels = unit_circles(3), torch.tensor([4, 0, 2])
    own = templates(circles, labels)
    assert own.shape == (3, NUM_HEADINGS)
    patterns = [F.normalize(pattern.flatten(), dim=0).view_as(pattern) for pattern in templates.patterns]
    for i, k in ((0, 0), (1, 13), (2, 63)):
        cosines = torch.stack([(circles[i] * pattern.roll(k, -1)).sum() for pattern in patterns])
        expected = torch.log_softmax(SHARPNESS * cosines, 0)[labels[i]]
        assert torch.allclose(own[i, k], expected, atol=1e-4)


def test_an_identity_is_recognised_where_its_pattern_lies() -> None:
    templates = Templates(4)
    circles = unit_circles(4)
    with torch.no_grad():
        templates.patterns.copy_(circles)
    own = templates(circles.roll(9, -1), torch.arange(4))
    assert own.argmax(1).tolist() == [9] * 4
