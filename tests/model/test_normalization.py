import torch

from model.normalization import Normalization


def test_each_channel_has_its_own_mean_and_std() -> None:
    normalization = Normalization((0.1, 0.2, 0.3), (0.5, 0.25, 0.125))
    expected = [(0.7 - 0.1) / 0.5, (0.7 - 0.2) / 0.25, (0.7 - 0.3) / 0.125]
    torch.testing.assert_close(normalization(torch.full((1, 3, 2, 2), 0.7))[0, :, 1, 0], torch.tensor(expected))


def test_white_bytes_are_one() -> None:
    normalization = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert torch.equal(normalization(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)), torch.ones(1, 3, 2, 2))


def test_it_stays_out_of_the_state() -> None:
    assert not Normalization().state_dict()
