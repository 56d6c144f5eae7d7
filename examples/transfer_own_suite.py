"""A suite of one's own: how the untrained circuit copes with weak motors and stiff joints, as a report.

python examples/transfer_own_suite.py [--out my-suite]
"""

import argparse
from pathlib import Path

import wormwood

MY_SUITE = """
task_options: {horizon: 400}
axes: {gear: 1, locked joint: null}
bodies:
- {label: home, body: swimmer-8}
- {label: interpolation, axis: gear, value: 0.8, body: {name: gear-0.8, links: 8, gear: 4.0e-4}}
- {label: extrapolation, axis: gear, value: 0.4, body: {name: gear-0.4, links: 8, gear: 2.0e-4}}
- {label: extrapolation, axis: locked joint, value: 3, body: {name: lock-3, links: 8, locked: [3]}}
- {label: combination, body: {name: weak-and-stiff, links: 8, gear: 2.0e-4, locked: [3]}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge an agent on bodies of one's own.")
    parser.add_argument("--out", type=Path, default=Path("my-suite"), help="folder for the suite and its report")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    suite = options.out / "my-suite.yaml"
    suite.write_text(MY_SUITE)
    report = wormwood.transfer("ncap", suite=suite, out=options.out / "report")
    for row in report.results.rows:
        print(f"{row['body']:<16} {row['label']:<14} return {row['return_iqm']:.0f}")
    print(f"report: {report.page}")


if __name__ == "__main__":
    main()
