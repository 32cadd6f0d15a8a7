"""nbval that sees pictures: a pytest plugin, and a command that makes a notebook's outputs anew.

nbval compares the texts in a notebook's stored outputs with fresh ones and passes over pictures:
a black one of any size is as good as any other. With sdnb and nbval installed,

    pytest --nbval --nbtest-images

compares every stored picture too, in any project's notebooks, and

    python -m sdnb.nbtest --update notebooks/
    python -m sdnb.nbtest notebooks/

makes outputs anew, and reports what should not be in a stored notebook. docs/nbtest.md says more.

- `likeness`: two pictures -> two numbers; expected, actual and difference as one picture
- `outputs`: the pictures and texts of a cell's outputs; what differs between stored and fresh
- `notebooks`: a notebook run and cleaned; what is wrong with a stored one
- `messages`: a kernel's messages, followed as Jupyter follows them
- `plugin`: pytest's hooks; `__main__`: the command
"""
