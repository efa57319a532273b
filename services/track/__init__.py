"""track: readings joined into tracks, and a passage for every plate that has gone."""
