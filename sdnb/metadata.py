"""`sdnb.metadata`: what a picture's file says of how it was made, read and written.

It lives in `sdnb.records.metadata`; this is its public name.
"""

from sdnb.records.metadata import (
    from_a1111,
    from_json,
    prompt_of,
    read,
    save,
    save_png,
    to_a1111,
    to_json,
    to_xmp,
)

__all__ = [
    "from_a1111", "from_json", "prompt_of", "read", "save", "save_png", "to_a1111",
    "to_json", "to_xmp",
]  # fmt: skip
