"""A body of one's own: how the untrained circuit swims with it, and a picture of its way.

python examples/own_body.py [--out my-body]
"""

import argparse
from pathlib import Path

from wormwood import Swim, SwimmerSpec, evaluate, load_agent, load_body, write_film

MY_BODY = """
# Eight links, the first twice as long; what is not said is as in dm_control's swimmer of eight links.
links: 8
link_length: [0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
gear: 6.0e-4
locked: [6]
sensor_delay: 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Swim with a body from a YAML file.")
    parser.add_argument("--out", type=Path, default=Path("my-body"), help="folder for the body file and the picture")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "my-body.yaml").write_text(MY_BODY)

    body, agent, task = load_body(options.out / "my-body.yaml"), load_agent("ncap"), Swim()
    result = evaluate(agent, body=body, task=task)
    print(f"{body.name}: return {result.returns.mean():.0f} ± {result.returns.std():.0f} of at most {task.horizon}")
    write_film(agent, SwimmerSpec(body, task), options.out / "swim.png", seconds=18)
    print(f"wrote {options.out}/swim.png; the same from the command line:")
    print(f"  wormwood video ncap --body {options.out}/my-body.yaml --out {options.out}/swim.gif")


if __name__ == "__main__":
    main()
