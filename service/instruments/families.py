"""Metric families made in one call: for series that are read when somebody asks, not counted as things happen."""

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def gauge(name: str, documentation: str, value: float) -> Metric:
    """One value without labels."""
    return GaugeMetricFamily(name, documentation, value)


def gauges(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    """A value for each value of a label."""
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family


def counters(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    """A total for each value of a label; the name without ``_total``."""
    family = CounterMetricFamily(name, documentation, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family
