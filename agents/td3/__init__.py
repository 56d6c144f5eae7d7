"""Actors that climb a learned value of their actions: TD3 and DDPG."""
