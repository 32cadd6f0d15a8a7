"""A package, since IPython 7, which Colab has, brings another one of this name on the path."""
