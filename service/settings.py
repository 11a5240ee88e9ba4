"""Settings: environment variables that start with ``SANET_``; a wrong one stops the start with one readable line."""

import difflib
import ipaddress
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from index.gallery.retention import Retention, RetentionError
from index.postgres.database_url import database_url
from model.number import NumberError, whole_number
from service.access.rate import RATE

_PREFIX: Final = "SANET_"

# Kubernetes gives every container variables for each service of its namespace: of one called sanet or sanet-something
# they start as our settings do. Only SANET_PORT has the name of a setting, and then an address as its value.
_KUBERNETES_NAME: Final = re.compile(
    r"SANET_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)"
)
_KUBERNETES_PORT_NAME: Final = re.compile(r"SANET_([A-Z0-9_]+_)?PORT")
_KUBERNETES_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://\S+")

_ORIGIN: Final = re.compile(r"https?://[^\s/?#@*]+")


class SettingsError(ValueError):
    """One line that names the variable, what came and what was expected."""


def _plain_digits(value: Any) -> Any:
    """Pydantic alone also takes ``8_000``, ``8000.0``, spaces around and the digits of any script."""
    if not isinstance(value, str):
        return value
    try:
        return whole_number(value)
    except NumberError:
        raise PydanticCustomError("whole_number", "Input should be a valid integer in the digits 0-9") from None


def _list(value: Any) -> Any:
    """From ``a, b``, as a variable has it."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise PydanticCustomError("origin", "Input should be origins such as https://watch.example, without a path")
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise PydanticCustomError("network", "Input should be addresses or networks such as 10.0.0.0/8") from None
    return text


def _retention(text: str) -> str:
    try:
        Retention.parse(text)
    except RetentionError as error:
        raise PydanticCustomError("retention", "{reason}", {"reason": str(error)}) from None
    return text


def _database(address: SecretStr) -> SecretStr:
    try:
        database_url(address.get_secret_value())
    except ValueError as error:
        raise PydanticCustomError("database", "{reason}", {"reason": str(error)}) from None
    return address


_Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_list)]
_Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_list)]
_Int = Annotated[int, Field(strict=True), BeforeValidator(_plain_digits)]


def shipped_checkpoint() -> Path:
    """Where the checkpoint that ships is: beside the packages of a checkout, or in the environment of the image."""
    file = Path("demo", "sanet.safetensors")
    in_checkout = Path(__file__).resolve().parents[1] / file
    return in_checkout if in_checkout.exists() else Path(sys.prefix) / file


class Settings(BaseSettings):
    """How this service runs. Each field is read from ``SANET_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True)

    checkpoint: Path = Field(
        default_factory=shipped_checkpoint,
        description="the .safetensors checkpoint that embeds; if not set, the shipped",
    )
    data_dir: Path = Field(Path(".data"), description="the folder of the gallery; created if it is not there")
    database: Annotated[SecretStr, AfterValidator(_database)] | None = Field(
        None, description="postgresql://.. of this gallery's jobs, keys and audit log alone; else files in the folder"
    )
    heldout: Path | None = Field(
        None, description="a manifest on which GET /metrics scores the model; without SANET_CHECKPOINT the demo set"
    )
    import_root: Path | None = Field(
        None, description="the folder from which jobs may read: manifests and images to import or to evaluate"
    )
    export_root: Path | None = Field(
        None, description="the folder below which jobs may write backups and exports; outside SANET_DATA_DIR"
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$", description="auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        "auto", description="the numeric path of the network; auto: the gallery's, else fp16 on a GPU"
    )
    runtime: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="what runs the network; auto: OpenVINO on a CPU where it is installed, else torch"
    )
    cache_dir: Path | None = Field(
        None, description="the folder of networks that were converted for a runtime; if not set, in the user's cache"
    )
    host: str = Field("127.0.0.1", description="the address to listen on")
    port: _Int = Field(8000, ge=0, le=65535, description="the port to listen on; 0 takes a free one")
    published: str | None = Field(
        None, description="the address on which others reach it, where it is another one, as of a container"
    )
    auth: Literal["auto", "on", "off"] = Field(
        "auto", description="who needs a key; auto: everybody, once there is one or others can reach the address"
    )
    metrics_open: bool = Field(False, description="true: GET /metrics needs no key")
    rate_limit: str | None = Field(
        None, pattern=RATE, description="requests of each key, or of each address without keys, such as 600/minute"
    )
    max_uploads_per_key: _Int = Field(
        0, ge=0, le=100_000, description="queries and enrolments of one key under way together; 0: no limit"
    )
    cors_origins: _Origins = Field((), description="origins of pages that may call it from browsers, with commas")
    trusted_proxies: _Networks = Field(
        (), description="addresses of proxies whose X-Forwarded-For is believed, with commas"
    )
    audit_days: _Int = Field(365, ge=1, le=36_500, description="days for which the audit log is kept")
    retention: Annotated[str, AfterValidator(_retention)] | None = Field(
        None, description="for how long records are kept, such as 90d; camera gate-3: 30d; trash: 7d; else for ever"
    )
    queue_capacity: _Int = Field(
        1024, ge=512, le=1_000_000, description="vehicles of all enrolments under way together"
    )
    max_queries: _Int = Field(64, ge=1, le=100_000, description="queries under way together, beside the enrolments")
    undo_s: _Int = Field(
        3600, ge=0, le=31_536_000, description="seconds in which a deletion can be undone; 0: it is final at once"
    )
    unknown_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="the share of queries with no vehicle of the gallery; if not set, the calibration's, a half",
    )
    max_batch: _Int = Field(16, ge=2, le=1024, description="vehicles embedded at once")
    max_file_mb: _Int = Field(32, ge=1, le=1024, description="largest image file, in units of 1,000,000 bytes")
    max_request_mb: _Int = Field(512, ge=1, le=65536, description="largest POST /gallery, in the same units")
    max_uploads_mb: _Int = Field(
        4096, ge=1, le=1_000_000, description="bodies of all POST /gallery under way; at least one of the largest"
    )
    drain_s: _Int = Field(
        0, ge=0, le=3600, description="seconds from a signal until the socket closes; GET /readyz says no meanwhile"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")
    log_format: Literal["text", "json"] = Field("text", description="lines for people, or one JSON object a line")

    @model_validator(mode="before")
    @classmethod
    def _defaults_that_depend(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        if _KUBERNETES_ADDRESS.fullmatch(str(values.get("port", ""))):
            del values["port"]
        demo_set = shipped_checkpoint().with_name("manifest.csv")
        if "checkpoint" not in values and demo_set.exists():
            values.setdefault("heldout", demo_set)
        return values

    @property
    def database_address(self) -> str | None:
        """Of `database`, as it is; it may hold a password."""
        return None if self.database is None else self.database.get_secret_value()

    @classmethod
    def from_environment(cls) -> Self:
        """Reads the environment.

        Raises:
            SettingsError: a variable is malformed, or starts with ``SANET_`` and is none of ours, or no checkpoint is
                named and none ships. Unknown ones are refused because a mistyped setting that does nothing is worse
                than a start that fails.
        """
        known = {_variable(name) for name in cls.model_fields}
        for name, value in sorted(os.environ.items()):
            upper = name.upper()  # sanet_port counts as SANET_PORT does
            if upper.startswith(_PREFIX) and upper not in known and not _is_of_kubernetes(name, value):
                close = difflib.get_close_matches(upper, known, n=1)
                meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
                raise SettingsError(f"{name} is no setting of this service: {meant}")
        try:
            settings = cls()
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0])
            description = cls.model_fields[field].description
            # As the variable has it, unless that may hold a password.
            came = "***" if field == "database" else repr(str(first["input"]))
            raise SettingsError(f"{_variable(field)}={came}: {first['msg']} ({description})") from None
        if "checkpoint" not in settings.model_fields_set and not settings.checkpoint.exists():
            raise SettingsError(
                f"SANET_CHECKPOINT is not set, and no checkpoint ships at {settings.checkpoint}: "
                "set it to a .safetensors checkpoint"
            )
        return settings

    @classmethod
    def describe(cls) -> str:
        """Every setting for people: its variable, what it is for, its default, and the values it may have."""
        properties = cls.model_json_schema()["properties"]
        width = max(len(_variable(name)) for name in cls.model_fields)
        lines = []
        for name, field in cls.model_fields.items():
            lines.append(f"{_variable(name):{width}}  {field.description}")
            default = field.get_default(call_default_factory=True)
            facts = [f"default {'none' if default in (None, ()) else default}", *_allowed(properties[name])]
            lines.append(f"{'':{width}}  {'; '.join(facts)}")
        return "\n".join(lines)


def database_of_environment() -> str | None:
    """The address that SANET_DATABASE has, for commands that read no other setting; it may hold a password.

    Raises:
        SettingsError: it is none; the message does not repeat it.
    """
    address = os.environ.get(_variable("database")) or None
    if address is not None:
        try:
            database_url(address)
        except ValueError as error:
            raise SettingsError(f"{_variable('database')}: {error}") from None
    return address


def _variable(field: str) -> str:
    return _PREFIX + field.upper()


def _is_of_kubernetes(name: str, value: str) -> bool:
    if _KUBERNETES_NAME.fullmatch(name):
        return True
    return bool(_KUBERNETES_PORT_NAME.fullmatch(name) and _KUBERNETES_ADDRESS.fullmatch(value))


def _allowed(schema: dict[str, Any]) -> list[str]:
    """The values that a field's JSON schema allows, in words; nothing if it allows any."""
    if "minimum" in schema:
        return [f"{schema['minimum']} to {schema['maximum']}"]
    if "enum" in schema:
        return ["one of " + ", ".join(schema["enum"])]
    if "pattern" in schema:
        return [f"matches {schema['pattern']}"]
    return []
