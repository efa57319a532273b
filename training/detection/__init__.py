"""Training and judging the detector."""
