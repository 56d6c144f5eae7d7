"""Certificates that would make Ray hang, found before it starts."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wormwood.errors import BadInput
from wormwood.launch.clusters.tls import check_tls, tls_environment

NOW = datetime(2030, 5, 1, tzinfo=UTC)


def _sign(subject: str, key: Any, issuer: str, by: Any, *names: str, days: tuple[int, int] = (-1, 30)) -> Any:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW + timedelta(days[0])).not_valid_after(NOW + timedelta(days[1]))
    if names:
        kinds = [x509.IPAddress(ipaddress.ip_address(own)) if own[0].isdigit() else x509.DNSName(own) for own in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
    return builder.sign(by, hashes.SHA256())


def _files(folder: Path, *names: str, days: tuple[int, int] = (-1, 30), stranger: bool = False) -> dict[str, str]:
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signer = ec.generate_private_key(ec.SECP256R1()) if stranger else authority
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    contents = {
        "certificate": _sign("node", key, "authority", signer, *names, days=days).public_bytes(pem),
        "key": private,
        "authority": _sign("authority", authority, "authority", authority).public_bytes(pem),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return {name: str(folder / name) for name in contents}


def test_a_good_certificate_passes(tmp_path: Path) -> None:
    tls = _files(tmp_path, "127.0.0.1", "*.lab")
    check_tls(tls, ["127.0.0.1", "a.lab"], now=NOW)
    assert tls_environment(tls)["RAY_USE_TLS"] == "1"
    assert tls_environment(None) == {}


@pytest.mark.parametrize(
    ("options", "addresses", "said"),
    [
        ({"names": ["127.0.0.1"]}, ["127.0.0.1", "192.0.2.7"], "the address 192.0.2.7 of a node in its SAN"),
        ({"names": ["*.lab"]}, ["a.b.lab"], r"the address a.b.lab of a node in its SAN, got '\*.lab'"),
        ({"names": []}, ["127.0.0.1"], "no name at all"),
        ({"names": ["127.0.0.1"], "days": (-9, -2)}, ["127.0.0.1"], "to 2030-04-29"),
        ({"names": ["127.0.0.1"], "days": (2, 9)}, ["127.0.0.1"], "valid from 2030-05-03"),
        ({"names": ["127.0.0.1"], "stranger": True}, ["127.0.0.1"], "one that CN=authority signed"),
    ],
)
def test_a_wrong_certificate_is_one_line(options: Any, addresses: list[str], said: str, tmp_path: Path) -> None:
    tls = _files(tmp_path, *options.pop("names"), **options)
    with pytest.raises(BadInput, match=said):
        check_tls(tls, addresses, now=NOW)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    tls = _files(tmp_path, "127.0.0.1")
    Path(tls["key"]).chmod(0o644)
    with pytest.raises(BadInput, match=r"chmod 600 .* got 'mode 644'"):
        check_tls(tls, ["127.0.0.1"], now=NOW)


def test_files_that_are_missing_not_pem_or_of_another_key_are_named(tmp_path: Path) -> None:
    tls = _files(tmp_path, "127.0.0.1")
    with pytest.raises(BadInput, match=r"tls.authority in .*none: expected a readable file"):
        check_tls({**tls, "authority": str(tmp_path / "none")}, [], now=NOW)
    with pytest.raises(BadInput, match=r"tls.certificate in .*key: expected PEM"):
        check_tls({**tls, "certificate": tls["key"]}, [], now=NOW)
    (tmp_path / "other").mkdir()
    other = _files(tmp_path / "other", "127.0.0.1")
    with pytest.raises(BadInput, match="another key"):
        check_tls({**tls, "key": other["key"]}, [], now=NOW)
