"""Presets shipped with the package: training runs, bodies, transfer suites and clusters."""
