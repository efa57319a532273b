"""One process each: capture, ocr, visualize, writer."""
