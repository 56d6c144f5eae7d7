"""Swimmers: bodies, physics and tasks, and their faces for gymnasium, Stable-Baselines3 and dm_control.

Importing this package registers its environments with gymnasium, so that
``gymnasium.make("wormwood.envs:Swim6-v0")`` works. It imports neither torch nor Stable-Baselines3.
"""

from wormwood.envs.faces.registration import register_environments

register_environments()
