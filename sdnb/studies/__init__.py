"""Studies: questions that many pictures answer together, with how sure the answer is.

Each is made of plans, which `sweeps` makes; what is asked by hand, in widgets, is not here.
"""
