"""A swimmer of one's own in MJCF: how the untrained circuit moves it, whole and with dead motors, as a report.

python examples/transfer_own_mjcf.py [--out my-swimmer]
"""

import argparse
from pathlib import Path

import wormwood

TADPOLE = """
<mujoco model="tadpole">
  <option timestep="0.005" density="3000"/>
  <default>
    <joint axis="0 0 1" armature="1e-6"/>
    <geom type="ellipsoid" contype="0" conaffinity="0" density="500"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="5e-4"/>
    <default class="between"><joint limited="true" range="-70 70" solreflimit="0.05 1"/></default>
  </default>
  <worldbody>
    <body name="head">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <joint name="heading"/>
      <geom size="0.06 0.015 0.02"/>
      <body name="neck" pos="-0.1 0 0">
        <joint name="nod" class="between" pos="0.04 0 0"/>
        <geom size="0.04 0.004 0.015"/>
        <body name="middle" pos="-0.08 0 0">
          <joint name="bend" class="between" pos="0.04 0 0"/>
          <geom size="0.04 0.003 0.015"/>
          <body name="tail" pos="-0.09 0 0">
            <joint name="wag" class="between" pos="0.05 0 0"/>
            <geom size="0.05 0.002 0.02"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="nod"/><motor joint="bend"/><motor joint="wag"/></actuator>
</mujoco>
"""

SUITE = """
task_options: {horizon: 400}
axes: {lesioned motor: null}
bodies:
- {label: home, body: tadpole.xml}
- {label: extrapolation, axis: lesioned motor, value: 1, body: {name: lame-1, mjcf: tadpole.xml, lesioned: [1]}}
- {label: extrapolation, axis: lesioned motor, value: 2, body: {name: lame-2, mjcf: tadpole.xml, lesioned: [2]}}
- {label: combination, body: {name: thick-water, mjcf: tadpole.xml, density: 6000, sensor_delay: 2}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge an agent on a swimmer of one's own.")
    parser.add_argument("--out", type=Path, default=Path("my-swimmer"), help="folder for model, suite and report")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "tadpole.xml").write_text(TADPOLE)
    suite = options.out / "suite.yaml"
    suite.write_text(SUITE)
    report = wormwood.transfer("ncap", suite=suite, out=options.out / "report")
    for row in report.results.rows:
        print(f"{row['body']:<16} {row['label']:<14} return {row['return_iqm']:.0f}")
    print(f"report: {report.page}")


if __name__ == "__main__":
    main()
