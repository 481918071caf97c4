"""The one error that a user can see."""


class LeNet5Error(Exception):
    """Something that the user can put right.

    The message says where, then what is there, then what was wanted, then what to do if that is known:
    ``model.pkl: empty; a checkpoint was wanted``. It is raised
    where the fact is known; the command line prints it and exits with 1.
    """
