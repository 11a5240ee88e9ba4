"""The terms of a loss, and what they come to together."""

from torch import Tensor


class LossTerms:
    """Collects terms by name and sums them, each times its weight."""

    def __init__(self) -> None:
        self._terms: dict[str, Tensor] = {}
        self._total: Tensor | None = None

    def add(self, name: str, weight: float, term: Tensor) -> None:
        """Counts a scalar, which is kept as it is, `weight` times in the total."""
        self._terms[name] = term
        weighted = weight * term
        self._total = weighted if self._total is None else self._total + weighted

    def with_total(self) -> dict[str, Tensor]:
        """All terms, not weighted, after their weighted sum, ``total``.

        Raises:
            ValueError: there is none: nothing would be learned.
        """
        if self._total is None:
            raise ValueError("a loss needs at least one term")
        return {"total": self._total, **self._terms}
