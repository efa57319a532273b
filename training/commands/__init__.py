"""The commands of training, one module each; ``training.cli`` puts them together."""
