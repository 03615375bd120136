"""What a run will do and see, before it is started."""
