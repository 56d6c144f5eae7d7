"""Presets that come with the package, as YAML files, and how YAML is read."""
