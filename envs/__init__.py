"""Swimmers: bodies, physics and tasks, and their faces for gymnasium, Stable-Baselines3 and dm_control.

Importing this package registers its environments with gymnasium, so that
``gymnasium.make("wormwood.envs:Swim6-v0")`` works. It imports neither torch nor Stable-Baselines3.
"""

import importlib.metadata

from wormwood.envs.faces.registration import register_environments
from wormwood.errors import BadInput

_MUJOCO = importlib.metadata.version("mujoco")
if not _MUJOCO.startswith("3."):  # before anything of it is looked for in vain
    raise BadInput(f"mujoco {_MUJOCO} is installed, and dm-control needs MuJoCo 3: pip install 'mujoco>=3.17,<4'")

register_environments()
