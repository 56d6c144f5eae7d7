"""The cluster file, and what is said where it is wrong."""

import dataclasses
import json

import pytest

from wormwood.configs.yaml_files import preset_names
from wormwood.errors import BadInput
from wormwood.launch.clusters.files import LocalCluster, RayUpCluster, load_cluster, parse_cluster

HEAD = "kind: local\nname: a\n"


@pytest.mark.parametrize("name", preset_names("cluster"))
def test_every_file_of_the_package_is_valid_and_comes_back_from_its_own_fields(name: str) -> None:
    cluster = load_cluster(name)
    assert parse_cluster(json.dumps(dataclasses.asdict(cluster)), where="again") == cluster


def test_the_default_has_a_head_without_rollouts_and_two_workers() -> None:
    cluster = load_cluster("local")
    assert isinstance(cluster, LocalCluster)
    assert cluster.head.cpus == 0
    assert {name: (group.count, group.cpus) for name, group in cluster.workers.items()} == {"cpu": (2, 1)}


def test_the_words_of_a_provider_are_kept_as_they_are() -> None:
    cluster = load_cluster("aws-example")
    assert isinstance(cluster, RayUpCluster)
    assert cluster.workers["cpu"].node_config["InstanceMarketOptions"] == {"MarketType": "spot"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: lcal\nname: x", "kind in f.yaml: expected one of local, ssh, slurm, kuberay, ray-up, got 'lcal'"),
        ("name: x", "kind in f.yaml: expected one of"),
        ("kind: local", "missing key name in f.yaml"),
        ("kind: local\nname: A B", "name in f.yaml: expected a name of at most 32 small letters"),
        (HEAD + "workrs: {}", "(nearest: 'workers')"),
        (HEAD + "workers: {a: {cpu: 2}}", "unknown key workers.a.cpu in f.yaml"),
        (HEAD + "workers: {A b: {cpus: 2}}", "workers in f.yaml: expected a name of at most 32"),
        (HEAD + "workers: {a: {cpus: '2'}}", "workers.a.cpus in f.yaml: expected a valid integer, got '2'"),
        (HEAD + "workers: {a: {cpus: true}}", "workers.a.cpus in f.yaml: expected a valid integer, got True"),
        (HEAD + "workers: {a: {count: 3, most: 1}}", "most in f.yaml, workers: expected at least count, which is 3"),
        (HEAD + "ports: {gcs: 7000, client: 7000}", "ports in f.yaml: expected three different ones"),
        (HEAD + "ports: {gcs: 70000}", "ports.gcs in f.yaml: expected less than or equal to 65535"),
        (HEAD + "tls: {certificate: a, authority: b}", "missing key tls.key in f.yaml"),
        ("kind: ssh\nname: a\nhead: {host: -oProxyCommand=x}", "expected one word without quotes"),
        ("kind: ssh\nname: a\nhead: {cpus: 1}", "host in f.yaml: expected the address of a host"),
        ("kind: slurm\nname: a\nfolder: /a\ntime: soon", "time in f.yaml: expected a time such as"),
        ("kind: slurm\nname: a\nfolder: /a\npartition: 'a b'", "partition in f.yaml: expected one word"),
        ("- 1", "YAML in f.yaml: expected a mapping"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_cluster(text, where="f.yaml")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="nearest: 'local'"):
        load_cluster("locl")
