"""A pipeline in memory: building and caching it, what it can do, where it came from.

Nothing here makes a picture.
"""
