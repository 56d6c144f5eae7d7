"""Pictures and videos of swimmers, and the files that hold them."""
