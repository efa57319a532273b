"""Vision: numpy arrays in, values out; nothing here knows of Redis."""
