"""What teaches a heading without a single annotated one. K headings, all considered at once."""

import math

import torch
from torch import Tensor

from model.polar import NUM_HEADINGS

_FLOOR = 1e-6


def matching_loss(own: Tensor) -> Tensor:
    """The identity is recognised at *some* heading: -log of the mean over headings of p(identity | heading).

    Because the features have no mean over the circle, evidence can only lie at particular headings: to recognise a
    vehicle is to find out how its views are turned against each other.

    Args:
        own: log p(own identity | heading) (N, K) of `Templates`.
    """
    return -(torch.logsumexp(own, -1) - math.log(NUM_HEADINGS)).mean()


def axis_loss(log_heading: Tensor, axis_steps: Tensor) -> Tensor:
    """Cross-entropy of the heading with two bumps, at a given axis and its opposite.

    Args:
        log_heading: log p(heading) (N, K).
        axis_steps: (N,) where on the circle, in steps.
    """
    half = NUM_HEADINGS / 2
    step = torch.arange(NUM_HEADINGS, device=log_heading.device)
    off = (step - axis_steps[:, None] + half / 2) % half - half / 2
    return -(torch.softmax(-off.square() / 2, -1) * log_heading).sum(1).mean()


def located_matching_loss(own: Tensor, log_heading: Tensor) -> tuple[Tensor, Tensor]:
    """As `matching_loss`, but only at the ends of the axis that the heading has found.

    Returns:
        The loss, and log p(heading in the identity's own frame | image, identity) (N, K), without a gradient.
    """
    heading = log_heading.detach().exp()
    axis = torch.log((heading + heading.roll(NUM_HEADINGS // 2, -1)) / 2 + _FLOOR)
    return -torch.logsumexp(axis + own, -1).mean(), torch.log_softmax(axis + own.detach(), -1)


def agreement_loss(log_heading: Tensor, log_own_heading: Tensor, num_images: int) -> Tensor:
    """The headings of one identity's views differ as its template says they differ.

    A template's frame of reference may be turned against the common heading by any angle, the same for all views of the
    identity: the likelihood is the mean over these turns.

    Args:
        log_heading: log p(heading) (N, K), the common one, what is to be learned.
        log_own_heading: log p(heading in the own frame) (N, K).
        num_images: views that follow each other are of one identity, in groups of so many.
    """
    spectrum = torch.fft.rfft(log_heading.exp()) * torch.fft.rfft(log_own_heading.exp()).conj()
    agreement = torch.fft.irfft(spectrum, n=NUM_HEADINGS).clamp_min(_FLOOR).log()
    by_turn = agreement.view(-1, num_images, NUM_HEADINGS).sum(1)
    return -(torch.logsumexp(by_turn, -1) - math.log(NUM_HEADINGS)).mean() / num_images
