"""Ray clusters: from one file, closed to strangers, and ended without touching anybody else's."""
