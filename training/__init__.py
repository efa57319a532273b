"""Training: datasets, synthesis, transforms, Catalyst runs, evaluation."""
