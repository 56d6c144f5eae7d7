"""How environments are split for workers."""

from wormwood.launch.distribute.collecting import shard_sizes


def test_shards_are_even_and_do_not_depend_on_workers() -> None:
    assert shard_sizes(1, None) == (1,)
    assert shard_sizes(10, None) == (3, 3, 2, 2)
    assert shard_sizes(96, None) == (16,) * 6
    assert shard_sizes(6, 2) == (3, 3)
