"""A client that enrols, queries, pages, changes, deletes and undoes, and knows what of its records must be there."""

import json
import random
import time
from collections import Counter
from functools import cache
from typing import Any, Final, NamedTuple, Self

import httpx2

from index.gallery.record import content_hash, record_id
from model.box import Box
from tests.conftest import png
from tests.service.soak.faults import MAY_BE_ANSWERED, Faults

NUM_SEEDS: Final = 60
"""Pictures of one client: so many of its records are there at most, so that the gallery does not grow without end."""

_WIDTH, _HEIGHT = 24, 16


@cache
def picture_file(seed: int) -> bytes:
    """The picture of a seed, as PNG."""
    return png(seed, _WIDTH, _HEIGHT)


@cache
def id_of(seed: int) -> str:
    """The id that the record of this picture has."""
    return record_id(content_hash(picture_file(seed)), Box(0, 0, _WIDTH, _HEIGHT))


class Vehicle(NamedTuple):
    """What a record says that its client can change."""

    identity: str | None
    tags: tuple[str, ...]


State = dict[int, Vehicle]
"""The records of a client, by their pictures' seeds."""


class EnrollingClient:
    """One client, whose records nobody else touches: it knows them by their camera, which bears its name.

    Attributes:
        state: the records that must be there: every change that was acknowledged has been made, and of one whose answer
            was lost or was an error, the gallery has said whether it was made. Nothing else is right.
        num: how often each operation was done, and each refusal came.
    """

    def __init__(self, number: int, base_url: str, faults: Faults) -> None:
        self.name = f"client {number}"
        self.state: State = {}
        self.num: Counter[str] = Counter()
        self._seeds = range(number * NUM_SEEDS, (number + 1) * NUM_SEEDS)
        self._rng = random.Random(number)
        self._faults = faults
        # Shorter than the service keeps connections: it never closes one at the moment in which it is used.
        self._http = httpx2.Client(base_url=base_url, timeout=300, limits=httpx2.Limits(keepalive_expiry=2))
        self._last_answer = time.monotonic()

    def step(self) -> None:
        """One operation of a random kind."""
        absent = [seed for seed in self._seeds if seed not in self.state]
        present = list(self.state)
        operations = []
        if absent:
            operations += [self._enrol] * (3 if len(present) < NUM_SEEDS // 2 else 1)
        if present:
            operations += [self._query, self._look, self._change_one, self._change_many, self._delete_one]
            operations += [self._delete_many, self.check]
        self._rng.choice(operations)()

    def check(self) -> None:
        """Asks for all its records, page by page: there are those that must be there, as they must be."""
        assert self._read() == self.state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _enrol(self) -> None:
        absent = [seed for seed in self._seeds if seed not in self.state]
        seeds = self._rng.sample(absent, min(len(absent), self._rng.randint(1, 6)))
        new = {seed: self._vehicle() for seed in seeds}
        files: list[Any] = [("images", (f"{seed}.png", picture_file(seed))) for seed in seeds]
        metadata = [{"camera": self.name, "identity": v.identity, "tags": list(v.tags)} for v in new.values()]
        if self._rng.random() < 0.2:  # one bad file costs the others nothing
            files.append(("images", ("bad.png", picture_file(seeds[0])[:-30])))
            metadata.append({})
        answer = self._change(
            "POST", "/gallery", 201, {**self.state, **new}, files=files, data={"metadata": json.dumps(metadata)}
        )
        if answer is not None:
            assert [result["id"] for result in answer.json()["results"][: len(seeds)]] == [
                id_of(seed) for seed in seeds
            ]

    def _query(self) -> None:
        seed = self._rng.choice(list(self.state))
        form = {"camera": self.name, "top_k": 3}
        answer = self._ask("POST", "/query", 200, files={"image": picture_file(seed)}, data=form)
        if answer is not None:
            found = answer.json()
            assert found["searched"] == len(self.state)
            assert found["matches"][0]["id"] == id_of(seed)
            assert found["matches"][0]["distance"] < 1e-2

    def _look(self) -> None:
        seed = self._rng.choice(list(self.state))
        kind = self._rng.choice(["image", "frame", "aligned"])
        answer = self._ask("GET", f"/gallery/{id_of(seed)}/{kind}", 200)
        if answer is not None and kind != "aligned":
            assert answer.content == picture_file(seed)

    def _change_one(self) -> None:
        seed = self._rng.choice(list(self.state))
        vehicle = self._vehicle()
        fields = {"identity": vehicle.identity, "tags": list(vehicle.tags)}
        self._change("PATCH", f"/gallery/{id_of(seed)}", 200, {**self.state, seed: vehicle}, json=fields)

    def _change_many(self) -> None:
        identity, new = self._some_identity(), self._vehicle().identity
        seeds = self._of(identity)
        after = {**self.state, **{seed: self.state[seed]._replace(identity=new) for seed in seeds}}
        self._change("PATCH", "/gallery", 200, after, params=self._those_of(identity), json={"identity": new})

    def _delete_one(self) -> None:
        seed = self._rng.choice(list(self.state))
        before = self.state
        after = {other: vehicle for other, vehicle in before.items() if other != seed}
        answer = self._change("DELETE", f"/gallery/{id_of(seed)}", 204, after)
        if answer is not None and self._rng.random() < 0.5:
            self._change("POST", answer.links["undo"]["url"], 200, before)

    def _delete_many(self) -> None:
        identity = self._some_identity()
        seeds = self._of(identity)
        before = self.state
        after = {seed: vehicle for seed, vehicle in before.items() if seed not in seeds}
        answer = self._change("DELETE", "/gallery", 200, after, params=self._those_of(identity))
        if answer is not None:
            assert answer.json()["deleted"] == len(seeds)
            if self._rng.random() < 0.7:
                self._change("POST", answer.json()["undo_url"], 200, before)

    def _vehicle(self) -> Vehicle:
        tags = tuple(sorted(self._rng.sample(["red", "blue", "van", "truck"], self._rng.randrange(3))))
        return Vehicle(f"vehicle {self._rng.randrange(8)}", tags)

    def _some_identity(self) -> str | None:
        return self._rng.choice(list(self.state.values())).identity

    def _of(self, identity: str | None) -> set[int]:
        return {seed for seed, vehicle in self.state.items() if vehicle.identity == identity}

    def _those_of(self, identity: str | None) -> dict[str, Any]:
        return {"camera": self.name, "identity": identity, "expected": len(self._of(identity))}

    def _change(self, method: str, path: str, status: int, after: State, **request: Any) -> httpx2.Response | None:
        """Asks for a change, after which the records are these. If nobody says that it was made, the gallery does."""
        answer = self._ask(method, path, status, **request)
        if answer is not None:
            self.state = after
            return answer
        found = self._read()
        assert found in (self.state, after), f"{method} {path}: neither undone nor done: {found}"
        self.state = found
        return None

    def _read(self) -> State:
        """All its records, once the service answers."""
        while (state := self._pages()) is None:
            pass
        return state

    def _pages(self) -> State | None:
        """All its records, page by page; None if a page did not come."""
        state: State = {}
        parameters: dict[str, Any] = {"camera": self.name, "limit": 7}
        while (answer := self._ask("GET", "/gallery", 200, params=parameters)) is not None:
            page = answer.json()
            for record in page["records"]:
                seed = int(record["source"].removesuffix(".png"))
                assert seed not in state
                assert record["id"] == id_of(seed)
                state[seed] = Vehicle(record["identity"], tuple(sorted(record["tags"])))
            if page["next_cursor"] is None:
                assert page["total"] == len(state)
                return state
            parameters["cursor"] = page["next_cursor"]
        return None

    def _ask(self, method: str, path: str, status: int, **request: Any) -> httpx2.Response | None:
        """The answer, which must have this status; None if a fault that held kept it away or made it an error."""
        began = time.monotonic()
        try:
            answer = self._http.request(method, path, **request)
        except httpx2.TransportError as error:
            # A connection that was kept may be as old as the last answer.
            if "kill" not in self._faults.held_since(self._last_answer):
                raise AssertionError(f"{method} {path} had no answer, and nothing was killed") from error
            self.num["connection lost"] += 1
            time.sleep(0.1)
            return None
        self._last_answer = began
        if answer.status_code == status:
            self.num[f"{method} {path.split('/')[1].split('?')[0]}"] += 1
            return answer
        self.num[f"status {answer.status_code}"] += 1
        allowed = {429}.union(*(MAY_BE_ANSWERED[fault] for fault in self._faults.held_since(began)))
        assert answer.status_code in allowed, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        assert answer.headers["content-type"] == "application/problem+json"
        time.sleep(0.05)
        return None
