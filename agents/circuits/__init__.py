"""NCAP: the C. elegans locomotion circuit as a policy (Bhattasali, Zador and Engel 2022)."""
