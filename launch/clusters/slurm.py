"""A script for Slurm: Ray runs within one job, for one training, and ends with it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from wormwood.launch.clusters.files import SlurmCluster
from wormwood.launch.clusters.plans import Job
from wormwood.launch.run.threads import ONE_THREAD
from wormwood.launch.storage.versions import format_versions

__all__ = ["slurm_script"]

_SCRIPT = """\
set -euo pipefail
umask 077
{setup}
python={python}
folder={folder}/.cluster-$SLURM_JOB_ID
mkdir -p "$folder"
temp=/tmp/wormwood-$SLURM_JOB_ID-${{SLURM_RESTART_COUNT:-0}}
# Ray's processes end first: they write to the folders that are removed then, on every node.
clean_up() {{
    kill $(jobs -p) 2> /dev/null || true
    wait || true
    srun --overlap --ntasks-per-node=1 rm -rf "$temp" || true
    rm -rf "$folder"
}}
trap clean_up EXIT

# Every node must have these versions, to which results are the same to the bit.
srun --ntasks-per-node=1 "$python" -m wormwood.launch.storage.versions --expect {versions}

# Who has no token is kept out. The file is this user's alone, and gone at the end.
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n' > "$folder/token"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$folder/token" RAY_USAGE_STATS_ENABLED=0
# srun does not take over how many processors the job has for each task.
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 {threads}

head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Addresses of interfaces, which the name of a host does not have to be: Debian gives it 127.0.1.1.
address=$(srun --overlap --nodes=1 --ntasks=1 -w "$head_node" hostname -I | cut -d ' ' -f 1)
[ -n "$address" ] || {{ echo "$head_node has no address but the loopback one" >&2; exit 1; }}
read -r port client <<< "$(srun --overlap --nodes=1 --ntasks=1 -w "$head_node" "$python" -c \
    'from wormwood.launch.clusters.host_agent import free_port; one = free_port([]); print(one, free_port([one]))')"

srun --overlap --nodes=1 --ntasks=1 -w "$head_node" "$python" -m wormwood.launch.clusters.start_node --head \\
    --node-ip-address="$address" --port="$port" --ray-client-server-port="$client" --include-dashboard=false \\
    --num-cpus={head_cpus} --num-gpus={head_gpus} --temp-dir="$temp" --disable-usage-stats &
head=$!
for second in $(seq 120); do
    # Our own head, and not somebody else's that answers at the same port.
    kill -0 "$head" 2> /dev/null || {{ echo "the head has ended" >&2; exit 1; }}
    (exec 3<> "/dev/tcp/$address/$port") 2> /dev/null && break
    [ "$second" = 120 ] && {{ echo "the head has not started within 120 s" >&2; exit 1; }}
    sleep 1
done
{workers}
export RAY_ADDRESS="$address:$port"
export WORMWOOD_JOB={job}
"$python" -m wormwood.launch.cli.job_entry &
job=$!
# Slurm says TERM before the time is up: the training leaves a checkpoint, and the same script goes on from it.
trap 'kill -TERM "$job" 2> /dev/null || true' TERM
code=0
wait "$job" || code=$?
if kill -0 "$job" 2> /dev/null; then
    code=0
    wait "$job" || code=$?
fi
exit "$code"
"""
_WORKERS = """
srun --overlap --nodes={count} --ntasks={count} --ntasks-per-node=1{elsewhere} \\
    "$python" -m wormwood.launch.clusters.start_node --address="$address:$port" \\
    --num-cpus={cpus} --num-gpus={gpus} --disable-usage-stats &
"""


def slurm_script(cluster: SlurmCluster, job: Job, versions: Mapping[str, str]) -> str:
    """Return a script for ``sbatch``.

    All nodes get what the most demanding of head and workers asks for, as those of a job of Slurm do. So a head that
    offers nothing to rollouts, as usual, has no node of its own, whose processors would idle: it shares one.
    """
    head, workers = cluster.head, cluster.workers
    shares = workers.count > 0 and not head.cpus and not head.gpus
    memory = workers.memory_gib + head.memory_gib if shares else max(head.memory_gib, workers.memory_gib)
    options = {
        "job-name": cluster.name,
        "nodes": workers.count if shares else 1 + workers.count,
        "ntasks-per-node": 1,
        "cpus-per-task": max(1, head.cpus, workers.cpus),
        "mem": f"{memory}G",
        "gpus-per-node": max(head.gpus, workers.gpus) or None,
        "time": cluster.time,
        "partition": cluster.partition,
        "account": cluster.account,
        "open-mode": "append",
        "output": f"{cluster.folder}/{cluster.name}-%j.log",
        "signal": "B:TERM@120",
    }
    given = [f"#SBATCH --{name}={value}" for name, value in options.items() if value is not None]
    lines = ["#!/bin/bash", "#SBATCH --requeue", *given]
    elsewhere = "" if shares else ' --exclude="$head_node"'
    group = _WORKERS.format(count=workers.count, elsewhere=elsewhere, cpus=workers.cpus, gpus=workers.gpus)
    script = _SCRIPT.format(
        setup="\n".join(cluster.setup),
        python=shlex.quote(cluster.python),
        folder=shlex.quote(cluster.folder),
        versions=shlex.quote(format_versions(versions)),
        threads=" ".join("=".join(variable) for variable in ONE_THREAD.items()),
        head_cpus=head.cpus,
        head_gpus=head.gpus,
        workers=group if workers.count else "",
        job=shlex.quote(job.to_json()),
    )
    return "\n".join(lines) + "\n" + script
