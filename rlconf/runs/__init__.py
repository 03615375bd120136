"""The life of a run: its folder, its sessions, its checkpoints, its processes and its guards."""
