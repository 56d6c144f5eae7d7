"""What a job will do is checked where it is sent from."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

import wormwood
from wormwood.errors import BadInput
from wormwood.launch.cli.job_entry import _progress, job_arguments
from wormwood.launch.cli.main import make_parser
from wormwood.launch.clusters.files import load_cluster
from wormwood.launch.clusters.jobs import follow_job, pack
from wormwood.launch.clusters.manifests import make_manifests
from wormwood.launch.clusters.plans import JOB, Job, Place, plan_job, wasted_processors
from wormwood.launch.run.settings import load_config, parse_config

FAR = Place(workers=4, here=False, runs="/shared")
HERE = Place(workers=2, here=True, runs="runs")
PARSE = make_parser().parse_known_args


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_configuration_of_a_training_travels_in_full() -> None:
    job = plan_job(["train", "swim-ncap-ppo", "--seed", "5", "--set", "iterations=2"], FAR, PARSE)
    assert job.words == ("--workers", "4")
    assert job.out is not None and job.out.startswith("/shared/swim-ncap-ppo-")
    assert job.folder is None
    config = yaml.safe_load(job.config or "")
    assert (config["seed"], config["iterations"]) == (5, 2)


@pytest.mark.parametrize("preset", ["swim-boosted-ppo", "bandit-5-10-rl2", "gridnavi-4-rl2", "swim-ncap-cma"])
def test_every_kind_of_preset_can_be_sent(preset: str) -> None:
    assert plan_job(["train", preset], FAR, PARSE).config


def test_a_report_is_made_by_the_whole_cluster_in_the_folder_that_it_was_asked_in(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("{axes: {}, bodies: [{label: home, body: swimmer-6}]}")
    job = plan_job(["transfer", "ncap", "random", "--suite", "mine.yaml", "--seeds", "3"], HERE, PARSE)
    assert job.words == ("ncap", "random", "--suite", "mine.yaml", "--seeds", "3", "--workers", "2")
    assert job.folder == str(tmp_path)
    assert job.out is not None and job.out.startswith(f"{tmp_path}/runs/transfer-mine-")
    far = plan_job(
        ["transfer", "ncap", "/shared/runs/a", "--suite", "quick", "--workers", "1"],
        FAR,
        make_parser().parse_known_args,
    )
    assert far.words[-2:] == ("--workers", "1")
    assert far.out is not None and far.out.startswith("/shared/transfer-quick-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "swim-ncap-pp"], "nearest: 'swim-ncap-ppo'"),
        (["train", "swim-ncap-ppo", "--sed", "1"], "nearest: '--seed'"),
        (["train", "swim-ncap-ppo", "--out", "runs/x"], "--out in cluster submit train: expected a folder on a file"),
        (["train", "swim-ncap-ppo", "--out", "s4://a/b"], "unknown protocol in s4://a/b"),
        (["transfer", "ncap", "--out", "file:///a/b"], "that all nodes share"),
        (["train", "swim-ncap-ppo", "--address", "auto"], "none: a job runs on the cluster"),
        (["train", "--resume"], "missing option in cluster submit train"),
        (["train"], "missing preset in cluster submit train"),
        (["transfer", "ncap", "--address", "192.0.2.1:1"], "--address in cluster submit transfer"),
        (["transfer", "ncap", "runs/a"], "agent in cluster submit transfer: expected a path from the root"),
        (["transfer", "ppo:a.zip"], "agent in cluster submit transfer: expected a path from the root"),
        (["transfer", "ncap", "--suite", "mine.yaml"], "--suite in cluster submit transfer: expected a path"),
        (["transfer", "ncap", "--retention"], "--specialists in cluster submit transfer: expected a path"),
        (["transfer", "ncap", "--resume"], "missing option in cluster submit transfer"),
        (["trian"], "nearest: 'train'"),
        ([], "job in cluster submit"),
    ],
)
def test_a_wrong_job_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(BadInput) as error:
        plan_job(words, FAR, PARSE)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["transfer", "nacp"], "nearest: 'ncap'"),
        (["transfer", "ncap", "--suite", "quik"], "nearest: 'quick'"),
        (["transfer", "ncap", "--out", "."], "expected a new folder, or --resume"),
        (["train", "swim-ncap-ppo", "--out", "."], "expected a new folder, or --resume"),
    ],
)
def test_what_is_on_this_machine_is_looked_at(words: list[str], said: str) -> None:
    with pytest.raises(BadInput) as error:
        plan_job(words, HERE, PARSE)
    assert said in str(error.value)


def test_a_job_that_is_sent_again_goes_on_with_what_is_there(tmp_path: Path) -> None:
    def arguments(job: Job) -> list[str]:
        found = job_arguments(yaml.safe_load(job.to_json()), address="192.0.2.1:1", folder=tmp_path)
        assert found[-5:] == ["--address", "192.0.2.1:1", "--out", str(tmp_path / "out"), "--json"] or found[-1] == (
            "--resume"
        )
        return found

    training = Job("train", ("--workers", "2"), config="agent: {kind: ncap}", out=str(tmp_path / "out"))
    report = Job("transfer", ("ncap", "--seeds", "3"), out=str(tmp_path / "out"))
    assert arguments(training)[:2] == ["train", str(tmp_path / "job.yaml")]
    assert (tmp_path / "job.yaml").read_text() == "agent: {kind: ncap}"
    assert "--resume" not in arguments(report)
    (tmp_path / "out" / "outcomes").mkdir(parents=True)
    (tmp_path / "out" / "config.yaml").touch()
    assert arguments(training)[:3] == ["train", "--workers", "2"]
    assert arguments(training)[-1] == "--resume"
    assert arguments(report).count("--resume") == 1
    told = Job("transfer", ("ncap", "--resume"), out=str(tmp_path / "out"))
    assert arguments(told).count("--resume") == 1


def test_a_training_may_go_to_a_url_which_is_taken_once_it_has_a_run(tmp_path: Path) -> None:
    out = (tmp_path / "far").as_uri()
    job = plan_job(["train", "swim-ncap-ppo", "--out", out], FAR, PARSE)
    assert job.out == out
    sent = yaml.safe_load(job.to_json())
    assert job_arguments(sent, address="192.0.2.1:1", folder=tmp_path)[1].endswith("job.yaml")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "config.yaml").write_text("")
    # Started again, as after the loss of the head, it goes on; but another job must not.
    assert job_arguments(sent, address="192.0.2.1:1", folder=tmp_path)[-1] == "--resume"
    with pytest.raises(BadInput, match="expected a new folder, or --resume"):
        plan_job(["train", "swim-ncap-ppo", "--out", out], FAR, PARSE)
    assert plan_job(["train", "--resume", "--out", out], FAR, PARSE).out == out


def test_an_environment_of_ones_own_is_sent_along_and_trusted_by_the_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_pole.py").write_text(
        "import gymnasium\nclass Same(gymnasium.Wrapper): ...\n"
        "gymnasium.register('OwnPole-v0', 'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=9)\n"
    )
    config = "agent: {kind: mlp}\nlearner: {kind: openai-es}\niterations: 1\nenvironment: own_pole:OwnPole-v0\n"
    (tmp_path / "code" / "own.yaml").write_text(config + "environment_wrappers: [own_pole:Same]\n")
    expected = ("--workers", "2", "--trust", "own_pole:OwnPole-v0", "--trust", "own_pole:Same")
    job = plan_job(["train", "code/own.yaml", "--out", "run"], HERE, PARSE)
    assert (job.words, job.code) == (expected, (str(tmp_path / "code"),))
    assert wasted_processors(job, HERE) == 0
    (tmp_path / "run").mkdir()  # as after the loss of the head: whoever began it goes on with it
    again = plan_job(["train", "--resume", "--out", "run"], HERE, PARSE)
    assert (again.words, again.code) == (expected, job.code)
    other = plan_job(["train", "--resume", "--out", "other", "--trust", "own_pole"], HERE, PARSE)
    assert (other.words, other.code) == (("--workers", "2", "--trust", "own_pole"), job.code)


@pytest.mark.parametrize("words", [["train", "swim-ncap-ppo"], ["transfer", "ncap", "--suite", "quick"]])
@pytest.mark.parametrize(("more", "expected"), [([], "4"), (["--workers", "0"], "0"), (["--workers=0"], "0")])
def test_no_workers_are_no_workers(words: list[str], more: list[str], expected: str) -> None:
    job = plan_job([*words, *more], FAR, PARSE)
    assert job.words[len(job.words) - job.words[::-1].index("--workers")] == expected


@pytest.mark.parametrize(("more", "wasted"), [([], 60), (["--workers", "2"], 62), (["--workers", "0"], 64)])
def test_processors_that_no_shard_is_for_are_counted(more: list[str], wasted: int) -> None:
    place = Place(workers=64, here=False, runs="/shared")
    words = ["train", "swim-ncap-ppo", "--set", "shards=4", *more]
    assert wasted_processors(plan_job(words, place, PARSE), place) == wasted


def test_who_follows_a_job_sees_total_speed_and_time_left(tmp_path: Path) -> None:
    out = str(tmp_path)
    assert _progress(out) == ""
    line = {"iteration": 10, "steps": 20_480, "seconds": 4.0, "return_mean": 871.4}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + '\n{"iteration": 11, "st')
    assert _progress(out) == "iteration 10, 20,480 steps, 5,120 steps/s, return 871"
    (tmp_path / "config.yaml").write_text("iterations: 500\nseed: 0\n")
    assert _progress(out) == "iteration 10 of 500, 20,480 steps, 5,120 steps/s, 0:03:16 left, return 871"
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"iteration": 500, "steps": 8, "return_mean": None}) + "\n")
    assert _progress(out) == "iteration 500 of 500, 8 steps"


def test_a_result_is_returned_and_not_shown_among_what_a_job_says() -> None:
    logs = ["iteration 1\n", "iteration 1\niteration 2\n", 'iteration 1\niteration 2\n{"run": "r", "seed": 0}\n']
    states = ["RUNNING", "RUNNING", "SUCCEEDED"]

    class Head:
        asked = 0

        def get(self, path: str) -> dict[str, Any]:
            at = min(self.asked // 2, 2)
            self.asked += 1
            return {"logs": logs[at]} if path.endswith("/logs") else {"status": states[at], "metadata": {"run": "r"}}

    said: list[str] = []
    ended = follow_job(cast(Any, Head()), "train-1", said.append)
    assert said == ["iteration 1", "iteration 2"]
    assert ended["result"] == {"run": "r", "seed": 0} and ended["status"] == "SUCCEEDED"


def test_quotes_blanks_and_semicolons_reach_the_job_as_they_are() -> None:
    body, out = 'body={name: "l\'1; x $(id) `id`", links: 6}', "/shared/my runs/a;b"
    job = plan_job(["train", "swim-ncap-es", "--out", out, "--set", body], FAR, PARSE)
    assert job.out == out
    plain = load_config("swim-ncap-es", overrides=[body])
    assert parse_config(job.config or "", where="job").hash == plain.hash
    manifests = make_manifests(load_cluster("kuberay-example"), job, {"wormwood": "0", "python": "3", "ray": "2"})
    (text,) = manifests.values()
    environment = yaml.safe_load(yaml.safe_load(text)["spec"]["runtimeEnvYAML"])["env_vars"]
    sent = Job(**json.loads(environment[JOB]))
    assert sent.out == out and parse_config(sent.config or "", where="job").hash == plain.hash


def test_a_package_that_is_sent_along_is_the_package_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(pack(package=True, code=[]))) as sent:
        names = sent.namelist()
    root = Path(wormwood.__file__).parent
    here = {f"wormwood/{path.relative_to(root).as_posix()}" for path in root.glob("*.py")}
    for folder in ("agents", "configs", "envs", "launch", "trees"):
        here |= {f"wormwood/{folder}/{path.relative_to((root / folder).resolve()).as_posix()}"
                 for path in (root / folder).resolve().rglob("*") if path.suffix in (".py", ".yaml")}  # fmt: skip
    assert here <= set(names), "whatever a .gitignore says"
    assert {Path(name).suffix for name in names} <= {".py", ".yaml", ".typed"}
    assert not any(".git" in name or "__pycache__" in name for name in names)
