"""ocr: plates found and read on frames, into ``readings:{camera}``."""
