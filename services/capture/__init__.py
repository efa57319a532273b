"""capture: frames from a file, a network stream or a device, into ``frames:{camera}``."""
