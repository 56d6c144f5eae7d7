"""Settings of one boosted tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.configs.checked import check_fields
from wormwood.errors import bad_input

__all__ = ["TreeConfig"]


@dataclass(frozen=True)
class TreeConfig:
    """How features are binned and a tree is grown."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    max_depth: Annotated[int, Field(ge=1, le=10)] = 4
    """Splits between root and leaf. Deeper trees see more features at once, and each leaf has fewer rows."""
    max_bins: Annotated[int, Field(ge=2, le=256)] = 256
    """Bins of each feature. More bins place thresholds finer; fewer are faster and let more trees share thresholds."""
    binning: Literal["quantile", "uniform"] = "quantile"
    """Bins of about equally many rows, or of equal width."""
    grower: Literal["oblivious", "greedy"] = "greedy"
    """One split for all nodes of a level (weaker, regular), or each node its own best split."""
    score: Literal["cosine", "l2"] = "cosine"
    """Score of a split: from raw gradients, or from gradients standardised per output, so that small ones count too."""
    min_data_in_leaf: Annotated[int, Field(ge=1)] = 1
    """Rows that each leaf needs. A larger value gives smoother and smaller trees."""
    engine: Literal["native", "xgboost"] = "native"
    """What grows the trees: the kernels of this package, or XGBoost, which knows only greedy ones."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where XGBoost grows the trees."""

    def __post_init__(self) -> None:
        """Check every value, and what types alone do not say."""
        check_fields(self)
        if self.engine == "xgboost" and self.grower != "greedy":
            raise bad_input("grower", where="trees", expected="greedy under engine xgboost", got=self.grower)
        if self.engine == "native" and self.device != "cpu":
            raise bad_input("device", where="trees", expected="cpu under engine native", got=self.device)
