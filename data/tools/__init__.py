"""Functions that a chat model can call while it writes."""
