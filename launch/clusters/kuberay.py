"""Manifests for KubeRay, whose operator starts, watches and scales the pods."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from wormwood.configs.yaml_files import to_yaml
from wormwood.launch.clusters.files import Group, KuberayCluster, Node, Pods
from wormwood.launch.clusters.plans import JOB, Job
from wormwood.launch.run.threads import ONE_THREAD
from wormwood.launch.storage.versions import format_versions

__all__ = ["ray_cluster", "ray_job"]

VERSION = "ray.io/v1"
RETRIES = 3
"""Times that a job is started again, with new pods: it goes on with the run in the claim."""
SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def ray_cluster(cluster: KuberayCluster, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return a RayCluster.

    Args:
        cluster: the cluster file.
        versions: which every pod must have; it does not start otherwise.
    """
    return {**_about("RayCluster", cluster, cluster.name), "spec": _spec(cluster, versions)}


def ray_job(cluster: KuberayCluster, job: Job, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return a RayJob, which starts a cluster of its own and ends it after the job."""
    spec = {
        "entrypoint": "python -m wormwood.launch.cli.job_entry",
        "runtimeEnvYAML": to_yaml({"env_vars": {JOB: job.to_json()}}),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": cluster.ttl_seconds,
        # Without shared storage a retry would train from the start.
        "backoffLimit": RETRIES if cluster.claim else 0,
        "submitterPodTemplate": _submitter(cluster),
        "rayClusterSpec": _spec(cluster, versions),
    }
    # Several jobs of one cluster file do not take each other for themselves applied again.
    number = hashlib.sha256(job.to_json().encode()).hexdigest()[:8]
    return {**_about("RayJob", cluster, f"{cluster.name}-{number}"), "spec": spec}


def _submitter(cluster: KuberayCluster) -> dict[str, Any]:
    """Return the pod that hands the job to Ray; KubeRay fills in the command."""
    wanted = {"cpu": "500m", "memory": "512Mi"}
    resources = {"requests": wanted, "limits": wanted}
    container = {"name": "ray-job-submitter", "image": cluster.image, "securityContext": SAFE, "resources": resources}
    place = {"restartPolicy": "Never", "securityContext": _security(cluster.pods), **_placement(cluster.pods)}
    return {"spec": {**place, "containers": [container]}}


def _about(kind: str, cluster: KuberayCluster, name: str) -> dict[str, Any]:
    return {
        "apiVersion": VERSION,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            **({"labels": dict(cluster.labels)} if cluster.labels else {}),
        },
    }


def _spec(cluster: KuberayCluster, versions: Mapping[str, str]) -> dict[str, Any]:
    head = {
        "rayStartParams": _start_params(cluster.head),
        "template": _pod("ray-head", cluster.head, cluster, versions),
    }
    workers = [
        {
            "groupName": name,
            "replicas": group.count,
            "minReplicas": group.count,
            "maxReplicas": group.limit,
            "rayStartParams": _start_params(group),
            "template": _pod("ray-worker", group, cluster, versions),
        }
        for name, group in cluster.workers.items()
    ]
    scaled = _scaled(cluster)
    return {
        "rayVersion": versions["ray"],
        "authOptions": {"mode": "token"},
        **({"enableInTreeAutoscaling": True, "autoscalerOptions": {"idleTimeoutSeconds": 300}} if scaled else {}),
        "headGroupSpec": head,
        "workerGroupSpecs": workers,
    }


def _scaled(cluster: KuberayCluster) -> bool:
    return any(group.limit > group.count for group in cluster.workers.values())


def _start_params(node: Node | Group) -> dict[str, str]:
    """Return what the node offers: without processors, rollouts stay away from it."""
    return {"num-cpus": str(node.cpus), "num-gpus": str(node.gpus), "disable-usage-stats": "true"}


def _pod(name: str, node: Node | Group, cluster: KuberayCluster, versions: Mapping[str, str]) -> dict[str, Any]:
    mounts = [{"name": "runs", "mountPath": cluster.folder}] if cluster.claim else []
    volumes = [{"name": "runs", "persistentVolumeClaim": {"claimName": cluster.claim}}] if cluster.claim else []
    # A node that offers no processor still needs one for the learner.
    wanted = {"cpu": str(max(1, node.cpus)), "memory": f"{node.memory_gib}Gi"}
    if node.gpus:
        wanted["nvidia.com/gpu"] = str(node.gpus)
    check = ["python", "-m", "wormwood.launch.storage.versions", "--expect", format_versions(versions)]
    common = {"image": cluster.image, "securityContext": SAFE}
    container = {
        "name": name,
        **common,
        "env": [{"name": name, "value": value} for name, value in ONE_THREAD.items()],
        "resources": {"requests": wanted, "limits": wanted},
        **({"volumeMounts": mounts} if mounts else {}),
    }
    return {
        "spec": {
            # Only the autoscaler, which runs beside the head, talks to Kubernetes.
            "automountServiceAccountToken": name == "ray-head" and _scaled(cluster),
            "securityContext": _security(cluster.pods),
            **_placement(cluster.pods),
            "initContainers": [{"name": "versions", **common, "command": check}],
            "containers": [container],
            **({"volumes": volumes} if volumes else {}),
        }
    }


def _security(pods: Pods) -> dict[str, Any]:
    """Return what the strictest of Kubernetes' standards for pods, ``restricted``, asks for."""
    return {
        "runAsNonRoot": True,
        "runAsUser": pods.user,
        "runAsGroup": pods.group,
        "fsGroup": pods.group,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _placement(pods: Pods) -> dict[str, Any]:
    """Return where pods run, as whom, and how urgently."""
    given = {
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [dict(each) for each in pods.tolerations],
        "serviceAccountName": pods.service_account,
        "imagePullSecrets": [{"name": name} for name in pods.pull_secrets],
        "priorityClassName": pods.priority_class,
    }
    return {key: value for key, value in given.items() if value}
