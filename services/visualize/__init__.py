"""visualize: the latest reading drawn on every frame, into ``rendered:{camera}``."""
