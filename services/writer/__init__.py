"""writer: rendered frames into an MP4, and a line of JSON each."""
