"""Training and judging the recognizer."""
