"""Many `Settings` to many `Sample`s: axes, plans, merged denoiser calls, Ray.

Each picture is made as `sdnb.generation` makes it.
"""
