"""Evolution strategies: learners that need nothing but returns."""
