"""Certificates that would make Ray hang, found before it starts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wormwood.errors import BadInput
from wormwood.launch.clusters.tls import check_tls, tls_environment

NOW = datetime(2030, 5, 1, tzinfo=UTC)


def test_a_good_certificate_passes(tmp_path: Path, make_tls: Any) -> None:
    tls = make_tls(tmp_path, "127.0.0.1", "*.lab", now=NOW)
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
def test_a_wrong_certificate_is_one_line(
    options: Any, addresses: list[str], said: str, tmp_path: Path, make_tls: Any
) -> None:
    tls = make_tls(tmp_path, *options.pop("names"), now=NOW, **options)
    with pytest.raises(BadInput, match=said):
        check_tls(tls, addresses, now=NOW)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, make_tls: Any) -> None:
    tls = make_tls(tmp_path, "127.0.0.1", now=NOW)
    Path(tls["key"]).chmod(0o644)
    with pytest.raises(BadInput, match=r"chmod 600 .* got 'mode 644'"):
        check_tls(tls, ["127.0.0.1"], now=NOW)


def test_files_that_are_missing_not_pem_or_of_another_key_are_named(tmp_path: Path, make_tls: Any) -> None:
    tls = make_tls(tmp_path, "127.0.0.1", now=NOW)
    with pytest.raises(BadInput, match=r"tls.authority in .*none: expected a readable file"):
        check_tls({**tls, "authority": str(tmp_path / "none")}, [], now=NOW)
    with pytest.raises(BadInput, match=r"tls.certificate in .*key: expected PEM"):
        check_tls({**tls, "certificate": tls["key"]}, [], now=NOW)
    (tmp_path / "other").mkdir()
    other = make_tls(tmp_path / "other", "127.0.0.1", now=NOW)
    with pytest.raises(BadInput, match="another key"):
        check_tls({**tls, "key": other["key"]}, [], now=NOW)
