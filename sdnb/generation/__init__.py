"""One `Settings` to one `Sample`: prompts encoded, the denoiser run, its latents decoded.

Many at once are made in `sdnb.sweeps`.
"""
