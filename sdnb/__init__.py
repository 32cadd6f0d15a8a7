"""Text-to-image diffusion in a notebook: every picture knows how it was made.

Importing this loads nothing else; each name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

del lazy_loader
