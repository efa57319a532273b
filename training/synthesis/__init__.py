"""Synthesis: plates, scenes and clips drawn by our own code."""
