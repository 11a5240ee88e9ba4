"""What Prometheus and Grafana are given, judged by Prometheus itself and by a scrape of a service."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import enrol, query, serve
from tests.service.instruments.scraped import scrape
from tests.service.test_metrics import settled, write_heldout

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "sanet.json").read_text())
RULES = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
TESTS = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]

# Of PromQL, not of a series: functions, operators and the words of aggregations.
WORDS = {
    *(
        "sum",
        "by",
        "rate",
        "increase",
        "delta",
        "changes",
        "histogram_quantile",
        "time",
        "and",
        "or",
        "on",
        "label_values",
    ),
}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, text=True, capture_output=True, check=False)


def series_of(expression: str) -> set[str]:
    """The names of the series that an expression reads."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", " ", expression)
    bare = re.sub(r"\bby\s*\([^)]*\)", " ", bare)
    return {name for name in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare) if name not in WORDS}


def selectors_of(expression: str) -> Iterator[tuple[str, str, str]]:
    """Series, label and value of each selector that asks for one value or some of them."""
    for name, inside in re.findall(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}", expression):
        for label, values in re.findall(r'(\w+)=~?"([^"$]*)"', inside):
            for value in values.split("|"):
                yield name, label, value


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [rule["expr"] for rule in RULES] + [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.fixture(scope="module")
def scraped(
    small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """All series of a service that has done a little of everything."""
    heldout = write_heldout(tmp_path_factory.mktemp("heldout"))
    data_dir = tmp_path_factory.mktemp("monitored")
    settings = Settings(checkpoint=small_checkpoint, data_dir=data_dir, device="cpu", heldout=heldout)
    with serve(settings) as client:
        enrol(client, 1, 2)
        query(client, 1)
        settled(client)
        worker = client.app.state.engine.worker  # type: ignore[attr-defined]
        with worker.admit(worker.max_queries, urgent=True):
            assert client.post("/query", files={"image": png(1)}).status_code == 429
        usage = client.app.state.disk_usage  # type: ignore[attr-defined]
        usage.latest = usage.measure()
        return set(scrape(client))


def test_prometheus_takes_its_configuration() -> None:
    checked = promtool("check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert [test["name"] for test in TESTS] == [rule["alert"] for rule in RULES]
    for test in TESTS:
        # Of two services one fires; promtool refuses any other alert than those that are expected.
        instances = {re.search(r'instance="(\w)', series["series"])[1] for series in test["input_series"]}  # type: ignore[index]
        assert instances == {"a", "b"}
        (case,) = test["alert_rule_test"]
        assert case["alertname"] == test["name"]
        assert [alert["exp_labels"]["instance"] for alert in case["exp_alerts"]] == ["a:8000"]


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """That promtool looks at the rules and not only at the file."""
    text = (PROMETHEUS / "alerts.yml").read_text()
    (tmp_path / "alerts_test.yml").write_text((PROMETHEUS / "alerts_test.yml").read_text())
    for right, wrong in (("sanet_ready == 0", "sanet_ready == 1"), ("> 0.05", "> 0.06"), ("for: 10m", "for: 60m")):
        assert right in text
        (tmp_path / "alerts.yml").write_text(text.replace(right, wrong))
        assert promtool("test", "rules", str(tmp_path / "alerts_test.yml")).returncode != 0


def test_each_alert_says_why_and_what_to_do() -> None:
    lines = (PROMETHEUS / "alerts.yml").read_text().splitlines()
    for number, line in enumerate(lines):
        if "- alert:" in line:
            assert lines[number - 1].strip().startswith("# "), line
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_in_a_scrape(
    scraped: set[tuple[str, frozenset[tuple[str, str]]]], expression: str
) -> None:
    names = {name for name, _ in scraped} | {"up"}  # that one is Prometheus' own
    found = series_of(expression)
    assert found
    assert found <= names
    by_scrape = {"instance", "job", "le"}
    for name, label, value in selectors_of(expression):
        if label in by_scrape:
            continue
        assert any(series == name and dict(labels).get(label) == value for series, labels in scraped), (
            name,
            label,
            value,
        )


@pytest.mark.parametrize("expression", expressions())
def test_prometheus_can_read_what_is_asked_for(expression: str, tmp_path: Path) -> None:
    filled = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
    rules = {"groups": [{"name": "panels", "rules": [{"record": "panel", "expr": filled}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    checked = promtool("check", "rules", str(tmp_path / "rules.yml"))
    assert checked.returncode == 0, checked.stderr


def test_the_dashboard_shows_every_series_of_the_service(scraped: set[tuple[str, frozenset[tuple[str, str]]]]) -> None:
    """Those of the process are Prometheus' own standard, and of one series of a histogram the others follow."""
    shown = {name for panel in panels() for target in panel["targets"] for name in series_of(target["expr"])}
    stem = re.compile("_(bucket|sum|count)$")
    ours = {stem.sub("", name) for name, _ in scraped if name.startswith("sanet_")}
    not_shown = {"sanet_evaluation_info", "sanet_evaluation_timestamp_seconds"}
    assert ours - {stem.sub("", name) for name in shown} == not_shown


def test_the_dashboard_is_one() -> None:
    assert DASHBOARD["uid"] == "sanet"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    occupied: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & occupied
        occupied |= cells
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for panel in panels():
        assert panel["targets"]
        assert set(re.findall(r"\$\{?(\w+)", json.dumps(panel))) <= {*names, "__rate_interval"}


def test_the_stack_mounts_what_is_here() -> None:
    stack = yaml.safe_load((DEPLOY / "monitoring.yml").read_text())
    root = DEPLOY.parent
    base = yaml.safe_load((root / "docker-compose.yml").read_text())
    targets = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"][0]["static_configs"]
    assert targets == [{"targets": ["service:8000"]}]
    assert stack["services"].keys() == {"service", "prometheus", "grafana"}
    assert "service" in base["services"]
    for service in ("prometheus", "grafana"):
        for volume in stack["services"][service]["volumes"]:
            source = volume.split(":")[0]
            assert source in stack["volumes"] or (root / source).is_dir()
        for port in stack["services"][service]["ports"]:
            assert port.startswith("127.0.0.1:")
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/sanet.yml").read_text())["providers"][0]
    mounted = dict(volume.split(":")[:2] for volume in stack["services"]["grafana"]["volumes"])
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


@pytest.fixture
def open_to_prometheus(small_checkpoint: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(
        checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", auth="on", metrics_open=True
    )
    with serve(settings) as client:
        yield client


def test_prometheus_needs_no_key_where_the_stack_says_so(open_to_prometheus: TestClient) -> None:
    stack = yaml.safe_load((DEPLOY / "monitoring.yml").read_text())
    assert stack["services"]["service"]["environment"] == {"SANET_METRICS_OPEN": "${SANET_METRICS_OPEN:-true}"}
    assert open_to_prometheus.get("/gallery").status_code == 401
    assert open_to_prometheus.get("/metrics").status_code == 200
