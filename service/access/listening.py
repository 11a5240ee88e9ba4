"""Whether a service asks for keys, by the address on which others reach it."""

import ipaddress
from pathlib import Path
from typing import Literal

from service.access.key_store import read_keys

AuthSetting = Literal["auto", "on", "off"]


class OpenToOthersError(ValueError):
    """Others could reach a service that has no keys and nobody said that it needs none."""


def require_keys_if_public(setting: AuthSetting, address: str, data_dir: Path, database: str | None = None) -> None:
    """Refuses to serve others without keys, unless somebody said so.

    Raises:
        OpenToOthersError: one line that says what to do.
        KeyStoreError: the keys cannot be read.
    """
    if setting == "auto" and not is_loopback(address) and not read_keys(data_dir, database):
        raise OpenToOthersError(
            f"others can reach {address}, and there is no key yet: make one with python -m service.keys create "
            f"--name NAME --scope admin --data-dir {data_dir}, or set SANET_AUTH=off if all who can may do everything"
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address or a host's name; a name that is not localhost may be any."""
    if address == "localhost":
        return True
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
