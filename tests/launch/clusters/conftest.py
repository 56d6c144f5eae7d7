"""What cluster tests need: certificates, and hosts where there are none."""

import ipaddress
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture
def stand_in_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Have `ssh` enter what is given here for each address; see stand_in_ssh.py."""

    def use(hosts: dict[str, Any]) -> None:
        script, folder = Path(__file__).with_name("stand_in_ssh.py"), tmp_path / "bin"
        folder.mkdir()
        (folder / "ssh").write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        (folder / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("STAND_IN_HOSTS", json.dumps(hosts))

    return use


def _sign(subject: str, key: Any, issuer: str, by: Any, names: Sequence[str], dates: Sequence[datetime]) -> Any:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(dates[0]).not_valid_after(dates[1])
    if names:
        kinds = [
            x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in names
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
    return builder.sign(by, hashes.SHA256())


def _write_tls(
    folder: Path,
    *names: str,
    days: tuple[int, int] = (-1, 30),
    now: datetime | None = None,
    stranger: bool = False,
) -> dict[str, str]:
    """Write a certificate for some names, its key and its authority, and return their paths as a cluster file has them.

    Args:
        folder: to write to.
        names: in the certificate's SAN.
        days: from and to which it is valid, from ``now`` on.
        now: default: this moment.
        stranger: have another than the authority sign it.
    """
    dates = [(now or datetime.now(UTC)) + timedelta(day) for day in days]
    always = [(now or datetime.now(UTC)) + timedelta(day) for day in (-1, 30)]
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signer = ec.generate_private_key(ec.SECP256R1()) if stranger else authority
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    contents = {
        "certificate": _sign("node", key, "authority", signer, names, dates).public_bytes(pem),
        "key": private,
        "authority": _sign("authority", authority, "authority", authority, (), always).public_bytes(pem),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return {name: str(folder / name) for name in contents}


@pytest.fixture
def make_tls() -> Callable[..., dict[str, str]]:
    return _write_tls
