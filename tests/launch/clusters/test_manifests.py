"""Files for other launchers: against golden files, and against the schemas of those who read them.

After a change that is meant: WORMWOOD_WRITE_GOLDEN=1 python -m pytest tests/launch/clusters/test_manifests.py
"""

import copy
import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from wormwood.errors import BadInput
from wormwood.launch.clusters.files import KuberayCluster, Pods, RayUpCluster, load_cluster, parse_cluster
from wormwood.launch.clusters.kuberay import ray_cluster, ray_job
from wormwood.launch.clusters.manifests import (
    CRDS,
    check_kuberay,
    check_ray_up,
    make_manifests,
    place_of,
    strict,
    write_manifests,
)
from wormwood.launch.clusters.plans import Job
from wormwood.launch.clusters.ray_up import ray_up_config

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = {"wormwood": "0.1.0", "python": "3.11.7", "ray": "2.60.0"}
JOB = Job("train", ("--workers", "4"), config="agent: {kind: ncap}\nseed: 3\n", out="/runs/it's one")


@pytest.mark.parametrize(
    ("cluster", "name"),
    [
        ("kuberay-example", "raycluster.yaml"),
        ("kuberay-example", "rayjob.yaml"),
        ("slurm-example", "job.sbatch"),
        ("aws-example", "ray-up.yaml"),
    ],
)
def test_the_file_is_as_it_was(cluster: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CRDS, raising=False)
    files = make_manifests(load_cluster(cluster), JOB if name in ("rayjob.yaml", "job.sbatch") else None, VERSIONS)
    text = files[name]
    assert len(files) == 1
    if os.environ.get("WORMWOOD_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


@pytest.fixture
def definitions() -> Path:
    if not os.environ.get(CRDS):
        pytest.skip(f"{CRDS} does not name a folder with KubeRay's custom resource definitions")
    return Path(os.environ[CRDS])


def _kuberay() -> KuberayCluster:
    cluster = load_cluster("kuberay-example")
    assert isinstance(cluster, KuberayCluster)
    return cluster


def test_kuberay_takes_the_manifests_and_no_field_that_it_does_not_know(definitions: Path) -> None:
    manifest = ray_cluster(_kuberay(), VERSIONS)
    check_kuberay(manifest, definitions)
    check_kuberay(ray_job(_kuberay(), JOB, VERSIONS), definitions)
    wrong = copy.deepcopy(manifest)
    wrong["spec"]["headGroupSpec"]["rayStartParam"] = {}
    with pytest.raises(BadInput, match="rayStartParam"):
        check_kuberay(wrong, definitions)
    wrong = copy.deepcopy(manifest)
    wrong["spec"]["workerGroupSpecs"][0]["replicas"] = "two"
    with pytest.raises(BadInput, match=r"spec.workerGroupSpecs.0.replicas in RayCluster: .*'two'"):
        check_kuberay(wrong, definitions)


def test_the_learner_takes_a_gpu_and_rollouts_stay_away_from_it() -> None:
    learner, cpu = ray_cluster(_kuberay(), VERSIONS)["spec"]["workerGroupSpecs"]
    assert (learner["rayStartParams"]["num-cpus"], learner["rayStartParams"]["num-gpus"]) == ("0", "1")
    assert learner["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert (cpu["rayStartParams"]["num-cpus"], cpu["rayStartParams"]["num-gpus"]) == ("8", "0")
    assert "nvidia.com/gpu" not in cpu["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (cpu["minReplicas"], cpu["maxReplicas"]) == (2, 10)


def test_every_way_wants_a_token() -> None:
    assert ray_cluster(_kuberay(), VERSIONS)["spec"]["authOptions"] == {"mode": "token"}
    assert "export RAY_AUTH_MODE=token" in make_manifests(load_cluster("slurm-example"), JOB, VERSIONS)["job.sbatch"]
    config = ray_up_config(_aws(), VERSIONS)
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in commands[-1]


def _aws() -> RayUpCluster:
    cluster = load_cluster("aws-example")
    assert isinstance(cluster, RayUpCluster)
    return cluster


def test_the_schema_in_rays_wheel_takes_the_file_for_ray_up_and_no_other() -> None:
    config = ray_up_config(_aws(), VERSIONS)
    check_ray_up(config)
    with pytest.raises(BadInput, match="max_worker"):
        check_ray_up({**config, "max_worker": 3})
    with pytest.raises(BadInput, match="max_workers in file for ray up"):
        check_ray_up({**config, "max_workers": "three"})


def test_the_shell_takes_the_script_whatever_the_job_says() -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    script = make_manifests(load_cluster("slurm-example"), JOB, VERSIONS)["job.sbatch"]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert {"#SBATCH --requeue", "#SBATCH --open-mode=append"} <= set(script.splitlines())
    assert "SLURM_JOB_ID %" not in script and "--ip-address |" not in script
    assert 'kill -0 "$head"' in script and 'rm -rf "$temp"' in script
    line = next(line for line in script.splitlines() if line.startswith("export WORMWOOD_JOB="))
    shown = subprocess.run(
        ["bash", "-c", f'{line}\nprintf %s "$WORMWOOD_JOB"'], capture_output=True, text=True, check=True
    )
    assert shown.stdout == JOB.to_json()


def test_files_are_closed_to_others_and_a_token_stays_what_it_was(tmp_path: Path) -> None:
    files = make_manifests(_aws(), None, VERSIONS)
    paths = write_manifests(_aws(), files, tmp_path / "out")
    assert [path.name for path in paths] == ["ray-up.yaml", "token"]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    token = paths[1].read_text()
    assert len(token) == 64 and token not in paths[0].read_text()
    assert yaml.safe_load(paths[0].read_text())["file_mounts"] == {"~/.wormwood/token": str(paths[1].resolve())}
    write_manifests(_aws(), files, tmp_path / "out")
    assert paths[1].read_text() == token


@pytest.mark.parametrize("folder", ["a #b", "a: b", "it's", 'a "b"'])
def test_a_token_is_found_in_a_folder_of_any_name_and_setup_stays_what_it_was(folder: str, tmp_path: Path) -> None:
    cluster = dataclasses.replace(_aws(), setup=("cp ./token /opt",))
    (path, token) = write_manifests(cluster, make_manifests(cluster, None, VERSIONS), tmp_path / folder)
    written = yaml.safe_load(path.read_text())
    assert written["file_mounts"] == {"~/.wormwood/token": str(token.resolve())}
    assert written["setup_commands"][0] == "cp ./token /opt"
    assert written == {**ray_up_config(cluster, VERSIONS), "file_mounts": written["file_mounts"]}


def test_unknown_fields_are_refused_only_where_fields_are_named() -> None:
    schema: dict[str, Any] = {"properties": {"a": {"type": "object"}, "b": {"items": {"properties": {"c": {}}}}}}
    closed = strict(schema)
    assert closed["additionalProperties"] is False
    assert "additionalProperties" not in closed["properties"]["a"]
    assert closed["properties"]["b"]["items"]["additionalProperties"] is False


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(BadInput, match="`wormwood cluster up` starts local"):
        make_manifests(load_cluster("local"), None, VERSIONS)
    with pytest.raises(BadInput, match="job in cluster manifest"):
        make_manifests(load_cluster("slurm-example"), None, VERSIONS)


def test_workers_of_a_manifest_are_those_that_the_autoscaler_may_start() -> None:
    assert place_of(load_cluster("kuberay-example")).workers == 80
    assert place_of(load_cluster("slurm-example")).workers == 64
    cluster = parse_cluster("{kind: kuberay, name: a, image: b, head: {cpus: 3}}", where="test")
    assert place_of(cluster).workers == 3


def test_each_job_of_kuberay_has_a_name_of_its_own() -> None:
    other = Job("train", ("--workers", "5"), out="/runs/other")
    names = {ray_job(_kuberay(), job, VERSIONS)["metadata"]["name"] for job in (JOB, other)}
    assert len(names) == 2 and all(name.startswith(f"{_kuberay().name}-") for name in names)


def test_ray_up_takes_no_job() -> None:
    with pytest.raises(BadInput, match="job in cluster manifest: expected none: ray up starts machines only"):
        make_manifests(_aws(), JOB, VERSIONS)


def _pod_specs(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def test_pods_are_never_root_and_run_where_the_file_says() -> None:
    text = """
kind: kuberay
name: a
image: here/wormwood:1
workers: {cpu: {count: 2}}
labels: {kueue.x-k8s.io/queue-name: research}
ttl_seconds: 600
pods:
  user: 1234
  group: 567
  node_selector: {kubernetes.io/arch: amd64}
  tolerations: [{key: nvidia.com/gpu, operator: Exists}]
  service_account: runner
  pull_secrets: [registry]
  priority_class: low
"""
    cluster = parse_cluster(text, where="test")
    assert isinstance(cluster, KuberayCluster)
    job = ray_job(cluster, JOB, VERSIONS)
    assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "research"}
    assert job["spec"]["ttlSecondsAfterFinished"] == 600
    submitter = job["spec"]["submitterPodTemplate"]["spec"]
    for pod in (*_pod_specs(job), submitter):
        assert pod["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 1234, "runAsGroup": 567, "fsGroup": 567,
            "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
        assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("runner", "low")
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert not any(pod["automountServiceAccountToken"] for pod in _pod_specs(job)), "nothing asks Kubernetes for pods"
    plain = _pod_specs(ray_cluster(dataclasses.replace(cluster, pods=Pods()), VERSIONS))[0]
    assert not plain.keys() & {"nodeSelector", "tolerations", "serviceAccountName", "imagePullSecrets"}
    for wrong in ("user: 0", "pull_secrets: [A B]", "nodes: 3"):
        with pytest.raises(BadInput, match="test"):
            parse_cluster(f"{{kind: kuberay, name: a, image: i, pods: {{{wrong}}}}}", where="test")


def test_the_image_has_what_the_package_is_installed_from() -> None:
    root = Path(__file__).parents[3]
    kept = [line.removeprefix("!") for line in (root / ".dockerignore").read_text().splitlines() if line[0] == "!"]
    assert all((root / name).exists() for name in kept)
    assert {path.resolve().name for path in (root / "src/wormwood").iterdir() if path.is_symlink()} <= {*kept}
    assert {"requirements.lock", "pyproject.toml", "LICENSE", "README.md", "src"} <= {*kept}
    text = (root / "Dockerfile").read_text()
    assert f"USER {Pods().user}:{Pods().group}" in text and f"--uid {Pods().user}" in text


def test_a_head_in_slurm_has_processors_of_its_own_only_where_it_offers_some() -> None:
    def script(head: str) -> str:
        text = f"{{kind: slurm, name: a, folder: /b, head: {head}, workers: {{count: 3, cpus: 8, memory_gib: 20}}}}"
        return make_manifests(parse_cluster(text, where="test"), JOB, VERSIONS)["job.sbatch"]

    shared, apart = script("{cpus: 0, memory_gib: 5}"), script("{cpus: 2, memory_gib: 5}")
    assert "#SBATCH --nodes=3\n" in shared and "#SBATCH --mem=25G\n" in shared and "--exclude" not in shared
    assert "#SBATCH --nodes=4\n" in apart and "#SBATCH --mem=20G\n" in apart
    assert '--nodes=3 --ntasks=3 --ntasks-per-node=1 --exclude="$head_node"' in apart
    for text in (shared, apart):
        assert "#SBATCH --cpus-per-task=8\n" in text and "--num-cpus=8 --num-gpus=0" in text
