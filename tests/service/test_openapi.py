"""The OpenAPI document, by what people use it for: a client generated from it, and the page that tries calls out."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.live_service import LiveService
from tests.conftest import png


@pytest.fixture(scope="module")
def service(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with LiveService(small_checkpoint, tmp_path_factory.mktemp("openapi") / "data") as service:
        yield service


@pytest.fixture(scope="module")
def document(service: LiveService) -> Any:
    return service.client.get("/openapi.json").json()


def test_every_error_is_the_one_problem(document: Any) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            assert errors, path
            assert all(answer["content"] == problem for answer in errors.values())
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {"type", "title", "status", "detail"}
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_operations_have_short_names_of_their_own(document: Any) -> None:
    names = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert {"query", "enrol", "page", "record", "change", "delete", "frame", "readyz"} <= set(names)


def test_nothing_in_a_form_or_a_query_string_is_null(document: Any) -> None:
    for name in ("QueryForm", "GalleryForm"):
        assert '"null"' not in json.dumps(document["components"]["schemas"][name])
    assert '"null"' not in json.dumps(document["paths"]["/gallery"]["get"]["parameters"])


@pytest.fixture(scope="module")
def generated(document: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that openapi-python-client makes of the document."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(document))
    images = ["image/jpeg", "image/png", "image/webp", "image/tiff", "image/heic", "image/avif"]
    overrides = dict.fromkeys(images, "application/octet-stream")
    (folder / "config.yml").write_text(json.dumps({"post_hooks": [], "content_type_overrides": overrides}))
    command = ["generate", "--path", "openapi.json", "--output-path", "sanet_client", "--config", "config.yml"]
    program = str(Path(sys.executable).with_name("openapi-python-client"))
    done = subprocess.run(
        [program, *command, "--meta", "none", "--fail-on-warning"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module("sanet_client")
    sys.path.remove(str(folder))


def test_a_generated_client_enrols_finds_changes_and_deletes(generated: ModuleType, service: LiveService) -> None:
    def call(module: str, **arguments: Any) -> Any:
        answer = importlib.import_module(f"sanet_client.api.{module}").sync_detailed(client=client, **arguments)
        assert answer.status_code < 300, answer.content
        return answer.parsed

    models = importlib.import_module("sanet_client.models")
    file_type = importlib.import_module("sanet_client.types").File
    client = generated.Client(base_url=str(service.client.base_url))

    def file(seed: int) -> Any:
        return file_type(io.BytesIO(png(seed)), f"{seed}.png", "image/png")

    metadata = json.dumps([{"identity": "a", "tags": ["red"]}, {"identity": "b"}])
    enrolled = call("gallery.enrol", body=models.GalleryForm(images=[file(1), file(2)], metadata=metadata))
    assert (enrolled.enrolled, [result.filename for result in enrolled.results]) == (2, ["1.png", "2.png"])
    found = call("query.query", body=models.QueryForm(image=file(2), top_k=1, camera=[]))
    assert (found.matches[0].id, found.searched) == (enrolled.results[1].id, 2)
    found = call("query.query", body=models.QueryForm(image=file(2), tag=["red"], identity="a"))
    assert [match.id for match in found.matches] == [enrolled.results[0].id]
    id_ = found.matches[0].id
    assert call("gallery.page", tag=["red"], limit=5).records[0].id == id_
    assert call("gallery.record", id=id_).identity == "a"
    assert call("gallery.change", id=id_, body=models.VehicleFields(identity="c")).identity == "c"
    assert call("gallery.image", id=id_).payload.read() == png(1)
    assert call("gallery.frame", id=id_).payload.read() == png(1)
    assert call("gallery.stats").total == 2
    assert call("status.readyz").status.value == "ready"
    call("gallery.delete", id=id_)
    assert call("gallery.delete_identity", identity="b").deleted == 1
    missing = importlib.import_module("sanet_client.api.gallery.record").sync(client=client, id=id_)
    assert (type(missing).__name__, missing.title, missing.status) == ("Problem", "Record not found", 404)
    client.get_httpx_client().close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
        "--disable-component-update", "--no-first-run", "--window-size=1300,4000",
        f"--user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.binary_location = "/usr/bin/chromium"
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.mark.parametrize(
    ("operation", "takes_file", "status", "said"),
    [
        ("query-query", True, "200", "matches"),
        ("gallery-enrol", True, "201", "enrolled"),
        ("gallery-page", False, "200", "next_cursor"),
        ("gallery-stats", False, "200", "searchable"),
        ("status-model_card", False, "200", "fingerprint"),
    ],
)
def test_the_page_works_by_clicking(
    browser: webdriver.Chrome,
    service: LiveService,
    tmp_path: Path,
    operation: str,
    takes_file: bool,
    status: str,
    said: str,
) -> None:
    """One opens a call, chooses a file where one is asked for, and presses Execute: nothing else is to be filled in."""
    (tmp_path / "car.png").write_bytes(png(77))
    wait = WebDriverWait(browser, 60)
    browser.get(f"{service.client.base_url}/docs")

    def find(selector: str) -> WebElement:
        block = wait.until(lambda driver: driver.find_element(By.ID, f"operations-{operation}"))
        return wait.until(lambda _: block.find_element(By.CSS_SELECTOR, selector))

    def click(selector: str) -> None:
        # Not by the mouse: what opens slides down, and may have moved on when the mouse is there.
        browser.execute_script("arguments[0].click()", find(selector))

    click("button.opblock-summary-control")
    if takes_file:
        find("input[type=file]").send_keys(str(tmp_path / "car.png"))
    click("button.execute")
    answer = find(".live-responses-table .response")
    wait.until(lambda _: answer.find_element(By.CSS_SELECTOR, "td.response-col_status").text.strip() != "")
    assert answer.find_element(By.CSS_SELECTOR, "td.response-col_status").text.split()[0] == status, answer.text
    assert said in answer.text
