"""Training: datasets, synthesis, transforms, Catalyst runs, evaluation."""

import os

# albumentations asks PyPI for its newest version whenever it is imported, and waits for the answer,
# two seconds where none comes. Who wants to know sets it to 0.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
