"""From a checked `Config` to objects: parts, policy and trainer."""
