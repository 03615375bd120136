"""From the command line to a checked `Config`: the tree, the schema, and every check."""
