"""Model repositories: finding and downloading them, tokens, and what their errors mean.

Nothing here holds a model in memory.
"""
