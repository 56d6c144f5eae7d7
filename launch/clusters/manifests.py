"""What other launchers read, written to files and checked against their schemas."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wormwood.configs.yaml_files import parse_mapping, to_yaml
from wormwood.errors import bad_input
from wormwood.launch.clusters.files import Cluster, KuberayCluster, RayUpCluster, SlurmCluster
from wormwood.launch.clusters.kuberay import ray_cluster, ray_job
from wormwood.launch.clusters.plans import Job, Place
from wormwood.launch.clusters.ray_up import TOKEN, ray_up_config
from wormwood.launch.clusters.slurm import slurm_script
from wormwood.launch.storage.files import write_private

__all__ = ["CRDS", "check_kuberay", "check_ray_up", "make_manifests", "place_of", "strict", "write_manifests"]

CRDS = "WORMWOOD_KUBERAY_CRDS"
"""Environment variable: a folder with KubeRay's custom resource definitions, against which manifests are checked."""


def place_of(cluster: Cluster) -> Place:
    """Return where a job of the manifests will run.

    Raises:
        BadInput: the cluster needs no manifest.
    """
    if isinstance(cluster, KuberayCluster | RayUpCluster):
        workers = cluster.head.cpus + sum(group.cpus * group.limit for group in cluster.workers.values())
        return Place(workers, here=False, runs=cluster.folder if isinstance(cluster, KuberayCluster) else None)
    if isinstance(cluster, SlurmCluster):
        return Place(cluster.head.cpus + cluster.workers.cpus * cluster.workers.count, here=False, runs=cluster.folder)
    expected = f"kuberay, slurm or ray-up; `wormwood cluster up` starts {cluster.kind}"
    raise bad_input("kind", where="cluster manifest", expected=expected, got=cluster.kind)


def make_manifests(cluster: Cluster, job: Job | None, versions: Mapping[str, str]) -> dict[str, str]:
    """Return the files by name: for KubeRay a RayJob, or without a job a RayCluster; a script of Slurm needs a job.

    Raises:
        BadInput: a schema that is at hand does not take them, there is no job for Slurm or one for `ray up`, or the job
            needs modules of the user that are not installed.
    """
    if job and job.code:
        expected = "classes of installed modules: a manifest carries no code"
        raise bad_input("job", where="cluster manifest", expected=expected, got=", ".join(job.code))
    if isinstance(cluster, KuberayCluster):
        # A RayJob has a cluster of its own: a RayCluster beside it would stand idle.
        if job:
            manifests = {"rayjob.yaml": ray_job(cluster, job, versions)}
        else:
            manifests = {"raycluster.yaml": ray_cluster(cluster, versions)}
        if os.environ.get(CRDS):
            for manifest in manifests.values():
                check_kuberay(manifest, Path(os.environ[CRDS]))
        return {name: _plain_yaml(manifest) for name, manifest in manifests.items()}
    if isinstance(cluster, RayUpCluster):
        if job:
            expected = "none: ray up starts machines only; train on its head with --address"
            raise bad_input("job", where="cluster manifest", expected=expected, got=job.verb)
        config = ray_up_config(cluster, versions)
        check_ray_up(config)
        return {"ray-up.yaml": _plain_yaml(config)}
    place_of(cluster)
    if job is None:
        raise bad_input("job", where="cluster manifest", expected="train or transfer with arguments", got=None)
    assert isinstance(cluster, SlurmCluster)
    return {"job.sbatch": slurm_script(cluster, job, versions)}


def _plain_yaml(mapping: Mapping[str, Any]) -> str:
    """Return the text without YAML's references, which equal parts would become."""
    return to_yaml(json.loads(json.dumps(mapping)))


def write_manifests(cluster: Cluster, files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the files, closed to others, and the token that ``ray up`` copies, if there is none there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            ray_up = isinstance(cluster, RayUpCluster)
            write_private(folder / name, _with_token_in(folder.resolve(), text) if ray_up else text)
        paths = [folder / name for name in files]
        if isinstance(cluster, RayUpCluster):
            paths.append(folder / TOKEN)
            if not paths[-1].exists():
                write_private(paths[-1], secrets.token_hex(32))
    except OSError as error:
        got = f"{folder}: {error.strerror}"
        raise bad_input("folder", where="--out", expected="a writable one", got=got) from None
    return paths


def _with_token_in(folder: Path, text: str) -> str:
    """Return a file for ``ray up`` that finds its token in this folder, from whichever it is called."""
    config = parse_mapping(text, where="file for ray up")
    mounts = {remote: str(folder / TOKEN) for remote in config["file_mounts"]}
    return _plain_yaml({**config, "file_mounts": mounts})


def check_ray_up(config: Mapping[str, Any]) -> None:
    """Check a file for ``ray up`` against the schema in Ray's wheel.

    Raises:
        BadInput: something in it is wrong.
    """
    ray = importlib.util.find_spec("ray")
    assert ray is not None and ray.submodule_search_locations
    schema = Path(ray.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    _validate(config, json.loads(schema.read_text(encoding="utf-8")), where="file for ray up")


def check_kuberay(manifest: Mapping[str, Any], folder: Path) -> None:
    """Check a manifest against KubeRay's custom resource definitions, without room for unknown fields.

    Raises:
        BadInput: something in it is wrong, or the definition is not in the folder.
    """
    schema = _definition(folder / f"ray.io_{manifest['kind'].lower()}s.yaml", manifest["apiVersion"].rpartition("/")[2])
    _validate(manifest, schema, where=manifest["kind"])


@functools.cache
def _definition(path: Path, version: str) -> dict[str, Any]:
    """Return the schema of a custom resource definition, which are files of a megabyte."""
    try:
        # The parser in C, where there is one, takes seconds in place of a minute.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        versions = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["spec"]["versions"]
    except OSError as error:
        raise bad_input("definition", where=CRDS, expected=f"a folder with {path.name}", got=str(error)) from None
    schema: dict[str, Any] = next(entry["schema"]["openAPIV3Schema"] for entry in versions if entry["name"] == version)
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    schema["properties"]["spec"] = strict(schema["properties"]["spec"])
    return schema


def strict(schema: Any) -> Any:
    """Return the schema with no room for fields that it does not name, where it names any."""
    if isinstance(schema, list):
        return [strict(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(inner) for name, inner in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def _validate(value: Mapping[str, Any], schema: Any, *, where: str) -> None:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    # The schemas themselves are not ours to check, which would take longer than all else.
    error = next(Draft202012Validator(schema).iter_errors(value), None)
    if error is not None:
        path = ".".join(map(str, error.absolute_path)) or "top level"
        raise bad_input(path, where=where, expected="what the schema takes", got=error.message)
