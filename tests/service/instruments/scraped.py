"""What Prometheus would have of a service."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def scrape(client: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples of `GET /metrics`, by name and labels."""
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    return samples(response.text)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    by_key = {key(sample.name, **sample.labels): sample.value for sample in found}
    assert len(by_key) == len(found)
    return by_key


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())
