"""Settings: environment variables that start with ``SANET_``; a wrong one stops the start with one readable line."""

import difflib
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "SANET_"


class SettingsError(ValueError):
    """One line that names the variable, what came and what was expected."""


class Settings(BaseSettings):
    """How this service runs. Each field is read from ``SANET_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True)

    checkpoint: Path = Field(description="the .safetensors checkpoint that embeds")
    data_dir: Path = Field(Path(".data"), description="the folder of the gallery; created if it is not there")
    heldout: Path | None = Field(None, description="a manifest on which GET /metrics scores the model")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    precision: Literal["float32", "bf16"] = Field("float32", description="the numeric path of the network")
    host: str = Field("127.0.0.1", description="the address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="the port to listen on; 0 takes a free one")
    queue_capacity: int = Field(1024, ge=512, le=1_000_000, description="vehicles of all requests under way together")
    max_batch: int = Field(16, ge=2, le=1024, description="vehicles embedded at once")
    max_file_mb: int = Field(32, ge=1, le=1024, description="largest image file, in units of 1,000,000 bytes")
    max_request_mb: int = Field(512, ge=1, le=65536, description="largest POST /gallery, in the same units")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")

    @classmethod
    def from_environment(cls) -> Self:
        """Reads the environment.

        Raises:
            SettingsError: a variable is missing, malformed, or starts with ``SANET_`` and is none of ours. The last
                is refused because a mistyped setting that does nothing is worse than a start that fails.
        """
        known = {_PREFIX + name.upper() for name in cls.model_fields}
        for name in sorted(os.environ):
            if name.startswith(_PREFIX) and name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
                raise SettingsError(f"{name} is no setting of this service: {meant}")
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = _PREFIX + str(first["loc"][0]).upper()
            description = cls.model_fields[str(first["loc"][0])].description
            if first["type"] == "missing":
                raise SettingsError(f"{name} is not set: {description}") from None
            raise SettingsError(f"{name}={first['input']!r}: {first['msg']} ({description})") from None
