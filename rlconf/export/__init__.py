"""A trained policy as a folder that others can load."""
