"""Pictures on a page: grids, sliders, animations, plots, a sheet that fills in.

Pure functions of pictures; nothing here knows pipelines.
"""
