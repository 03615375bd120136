"""Policies: loaded from a folder or the hub, or tiny ones built on the spot."""
