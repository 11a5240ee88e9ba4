"""Every operation of the OpenAPI document, with what it says one may send, and with what it says one may not."""

import math
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.access.route_rules import rule_of
from service.access.scope import Scope
from tests.service.fuzz.campaign import FuzzedService

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Fuzzer:
    """Sends cases, without a key and with one, and compares what comes with the document.

    Attributes:
        num: how often each status came.
    """

    def __init__(self, service: FuzzedService, session: requests.Session) -> None:
        self.num: Counter[int] = Counter()
        self._service, self._session = service, session
        document = service.client.get("/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=str(service.client.base_url))
        self._operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
        assert len(self._operations) == sum(len(operations) for operations in document["paths"].values())

    def fuzz_all(self, num_cases: int) -> None:
        """About so many cases of all operations, half of them as the document has them."""
        num_each = math.ceil(num_cases / len(self._operations) / 2)
        for operation in self._operations:
            self._fuzz(operation, schemathesis.GenerationMode.POSITIVE, num_each)
            with suppress(Unsatisfiable):  # where an operation takes nothing, nothing can be wrong
                self._fuzz(operation, schemathesis.GenerationMode.NEGATIVE, num_each)

    def _fuzz(self, operation: Any, mode: schemathesis.GenerationMode, num_cases: int) -> None:
        @settings(
            max_examples=num_cases,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @seed(1)
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask_each(case: Any) -> None:
            self._ask(case)

        ask_each()

    def _ask(self, case: Any) -> None:
        is_open = rule_of(case.operation.definition.raw["operationId"]).scope is Scope.OPEN
        refused = case.call(session=self._session, timeout=300)
        self.num[refused.status_code] += 1
        if _is_too_long(refused):
            return None
        if not is_open:
            assert refused.status_code in (400, 401), (case, refused.text)
            return self._ask_with_key(case)
        case.validate_response(refused, checks=CHECKS)
        return None

    def _ask_with_key(self, case: Any) -> None:
        answer = case.call(session=self._session, headers=self._service.headers, timeout=300)
        self.num[answer.status_code] += 1
        if not _is_too_long(answer):
            case.validate_response(answer, checks=CHECKS)


def _is_too_long(answer: Any) -> bool:
    """An address or headers without measure get no further than to the protocol, which the document is not about."""
    return bool(answer.status_code == 431 and answer.json()["type"] == "urn:sanet:problem:head-too-large")


@pytest.mark.parametrize("num_cases", [100, pytest.param(10_000, marks=pytest.mark.trial)])
def test_every_operation_does_what_the_document_says(service: FuzzedService, num_cases: int) -> None:
    began = time.monotonic()
    with requests.Session() as session:
        fuzzer = Fuzzer(service, session)
        fuzzer.fuzz_all(num_cases // 10)  # what is made once is made now
        with service.not_growing():
            fuzzer.fuzz_all(num_cases)
    sys.stdout.write(f"{fuzzer.num.total()} requests in {time.monotonic() - began:.0f} s: {dict(fuzzer.num)}\n")
