"""Settings of a boosted algorithm that are changed later count."""

from pathlib import Path

import pytest

from wormwood.agents.stable_baselines3.boosted import BoostedPPO
from wormwood.errors import BadInput


def test_settings_given_to_load_and_set_later_count(tmp_path: Path) -> None:
    BoostedPPO("CartPole-v1", n_steps=32, batch_size=32).save(tmp_path / "model")
    model = BoostedPPO.load(tmp_path / "model", n_epochs=9, batch_size=16, ent_coef=0.5, clip_range=0.01)
    settings = model.settings
    assert (settings.epochs, settings.batch_size) == (9, 16)
    assert (settings.entropy_coefficient, settings.clip_range) == (0.5, 0.01)
    model.ent_coef = 0.3
    assert model.settings.entropy_coefficient == 0.3
    with pytest.raises(BadInput, match="batch_size"):
        BoostedPPO.load(tmp_path / "model", batch_size=1)
