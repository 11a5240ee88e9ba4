import torch

from benchmarks.memory_traffic import MemoryTraffic, copy

FLOAT = 4


def test_what_is_read_and_written_is_counted() -> None:
    a, b = torch.ones(5, 7), torch.ones(5, 7)
    with MemoryTraffic() as traffic:
        a + b
    assert traffic.num_bytes == 3 * 35 * FLOAT
    with MemoryTraffic() as traffic:
        a.sum()
    assert traffic.num_bytes == (35 + 1) * FLOAT


def test_views_and_products_cost_nothing() -> None:
    a = torch.ones(6, 6)
    with MemoryTraffic() as traffic:
        a.view(36).view(4, 9).t()
        a[1:3]
        a @ a
    assert traffic.num_bytes == 0


def test_a_copy_says_how_much_it_moves() -> None:
    move, num_bytes = copy(torch.device("cpu"))
    copied = move()
    assert isinstance(copied, torch.Tensor)
    assert bool((copied == 1).all())
    assert num_bytes == 2 * copied.numel() * FLOAT == 2 * 256 * 2**20
