"""`sdnb.plots`: convergence, accuracy and bars as plots, and the distance between two pictures.

It lives in `sdnb.display.plots`; this is its public name.
"""

from sdnb.display.plots import Plot, accuracy, bars, convergence, difference, lines_of, names_of

__all__ = ["Plot", "accuracy", "bars", "convergence", "difference", "lines_of", "names_of"]
