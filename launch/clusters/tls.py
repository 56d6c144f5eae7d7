"""Checks of certificates before Ray sees them: a wrong one makes it hang for minutes without a word."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wormwood.errors import BadInput, bad_input

__all__ = ["check_tls", "tls_environment"]


def tls_environment(tls: Mapping[str, str] | None) -> dict[str, str]:
    """Return the variables by which Ray encrypts; none without TLS."""
    if tls is None:
        return {}
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": tls["certificate"],
        "RAY_TLS_SERVER_KEY": tls["key"],
        "RAY_TLS_CA_CERT": tls["authority"],
    }


def check_tls(tls: Mapping[str, str], addresses: Sequence[str], *, now: datetime | None = None) -> None:
    """Check that nodes with these files will understand each other.

    Args:
        tls: the paths ``certificate``, ``key`` and ``authority``.
        addresses: host names or IP addresses of all nodes, which the certificate must name.
        now: the time for which it must be valid; default: this moment.

    Raises:
        BadInput: a file cannot be read, the key is open to others or another's, a date has passed or is to come, the
            authority did not sign the certificate, or an address is missing in its SAN.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate = _read(tls, "certificate", x509.load_pem_x509_certificate)
    authority = _read(tls, "authority", x509.load_pem_x509_certificate)
    key = _read(tls, "key", lambda content: load_pem_private_key(content, password=None))
    _check_permissions(Path(tls["key"]))
    if key.public_key() != certificate.public_key():
        raise _problem(tls, "key", "the one of the certificate", "another key")
    for name, found in (("certificate", certificate), ("authority", authority)):
        _check_dates(tls, name, found, now or datetime.now(UTC))
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        issuer, other = certificate.issuer.rfc4514_string(), authority.subject.rfc4514_string()
        expected = f"one that {other} signed, who is the authority"
        raise _problem(tls, "certificate", expected, f"one of {issuer}") from None
    _check_names(tls, _names(certificate), addresses)


def _read(tls: Mapping[str, str], name: str, parse: Callable[[bytes], Any]) -> Any:
    try:
        content = Path(tls[name]).read_bytes()
    except OSError as error:
        raise _problem(tls, name, "a readable file", error.strerror) from None
    try:
        return parse(content)
    except (ValueError, TypeError):
        raise _problem(tls, name, "PEM without a password", f"{len(content)} other bytes") from None


def _check_permissions(key: Path) -> None:
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        expected = f"a file that only its owner can read (chmod 600 {key})"
        raise bad_input("tls.key", where=str(key), expected=expected, got=f"mode {mode:03o}")


def _check_dates(tls: Mapping[str, str], name: str, found: Any, now: datetime) -> None:
    first, last = found.not_valid_before_utc, found.not_valid_after_utc
    if not first <= now <= last:
        got = f"valid from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
        raise _problem(tls, name, f"one that is valid on {now:%Y-%m-%d %H:%M} UTC", got)


def _names(certificate: Any) -> set[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name) for kind in (x509.DNSName, x509.IPAddress) for name in names.get_values_for_type(kind)}


def _check_names(tls: Mapping[str, str], names: set[str], addresses: Sequence[str]) -> None:
    for address in addresses:
        try:
            wanted = {str(ipaddress.ip_address(address))}
        except ValueError:
            # A wildcard stands for one label: *.lab names a.lab, not a.b.lab.
            wanted = {address, "*." + address.partition(".")[2]}
        if not wanted & names:
            got = ", ".join(sorted(names)) or "no name at all"
            raise _problem(tls, "certificate", f"the address {address} of a node in its SAN", got)


def _problem(tls: Mapping[str, str], name: str, expected: str, got: object) -> BadInput:
    return bad_input(f"tls.{name}", where=tls[name], expected=expected, got=got)
