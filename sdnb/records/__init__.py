"""A picture that knows how it was made: samples, sheets, metadata, the store, code to copy.

Nothing here runs a pipeline.
"""
