"""Prints the table of docs/robustness.md: python -m tests.model.image_cases."""

from tests.model.image_cases.table import table

print(table())  # noqa: T201
