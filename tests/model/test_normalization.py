import torch

from model.build import build_normalization
from model.normalization import Normalization
from model.preprocessing import Preprocessing


def test_each_channel_has_its_own_mean_and_std() -> None:
    normalization = Normalization((0.1, 0.2, 0.3), (0.5, 0.25, 0.125))
    expected = [(0.7 - 0.1) / 0.5, (0.7 - 0.2) / 0.25, (0.7 - 0.3) / 0.125]
    torch.testing.assert_close(normalization(torch.full((1, 3, 2, 2), 0.7))[0, :, 1, 0], torch.tensor(expected))


def test_white_bytes_are_one() -> None:
    normalization = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert torch.equal(normalization(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)), torch.ones(1, 3, 2, 2))


def test_it_is_built_from_the_preprocessing_and_stays_out_of_the_state() -> None:
    normalization = build_normalization(Preprocessing(64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    torch.testing.assert_close(normalization.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(normalization.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))
    assert not normalization.state_dict()
