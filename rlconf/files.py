"""Writing files whole or not at all: `trainers.files`, by the name the rest of this room uses."""

from trainers.files import flush, flush_folder, storage, write_text

__all__ = ["flush", "flush_folder", "storage", "write_text"]
