"""The notebooks are stored and checked without progress bars, which a stored page cannot move."""

import os

os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
