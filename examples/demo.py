"""Train the C. elegans circuit on Ray, then compare it with others on bodies it never saw. `make demo` runs this.

python examples/demo.py [--workers 2] [--out runs/demo] [--iterations 37]
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import wormwood

PRESET = "swim-ncap-cma"
BODIES = ("swimmer-6", "swimmer-12", "tapered")
SEEN = BODIES[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the C. elegans circuit and compare it on unseen bodies.")
    parser.add_argument("--workers", type=int, default=2, help="Ray workers; 0 trains in this process")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the run, which is replaced")
    parser.add_argument("--iterations", type=int, help="generations of the search; default: the preset's")
    parser.add_argument("--episodes", type=int, default=10, help="held-out starts of each agent and body")
    options = parser.parse_args()
    began, out = time.monotonic(), options.out

    if (out / "config.yaml").exists():
        shutil.rmtree(out)
    changes = [] if options.iterations is None else ["--set", f"iterations={options.iterations}"]
    code = _wormwood("train", PRESET, "--workers", str(options.workers), "--out", str(out), *changes)
    if code:
        return code

    print("comparing on held-out starts", file=sys.stderr)
    agents = {
        "random actions": "random",
        "MLP, untrained": "mlp",
        "NCAP, untrained": "ncap",
        "NCAP, trained": str(out),
    }
    columns = [f"{body}{'' if body == SEEN else ' (never seen)'}" for body in BODIES]
    print("\nReturn of an episode, at most 1000; ± is over starts\n")
    print("".join(f"{column:<25}" for column in ("agent", *columns)))
    for label, agent in agents.items():
        results = [wormwood.evaluate(agent, body=body, task="swim", episodes=options.episodes) for body in BODIES]
        cells = [f"{result.returns.mean():.0f} ± {result.returns.std():.0f}" for result in results]
        print("".join(f"{cell:<25}" for cell in (label, *cells)))
    print()

    for verb in (("video", "--out", str(out / "swim.gif")), ("inspect", "--out", str(out))):
        code = _wormwood(verb[0], str(out), *verb[1:], stdout=subprocess.DEVNULL)
        if code:
            return code
    print(f"video           {out}/swim.gif\nlearning curve  {out}/curve.png")
    print(f"circuit         {out}/circuit.png\nexported agent  {out}/agent")
    print(f"done in {time.monotonic() - began:.0f} s")
    return 0


def _wormwood(*arguments: str, stdout: int | None = None) -> int:
    """Run the command `wormwood` as a user would, and return its exit code."""
    return subprocess.run([sys.executable, "-m", "wormwood", *arguments], stdout=stdout).returncode


if __name__ == "__main__":
    sys.exit(main())
