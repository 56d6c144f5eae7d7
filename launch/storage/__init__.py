"""Where runs are kept: files that a crash never finds half written, checkpoints, and storages named by a URL."""
