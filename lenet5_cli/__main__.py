"""What ``lenet5`` and ``python -m lenet5_cli`` run."""

import atexit
import gc

ALLOCATIONS = (
    100_000  # between two looks of the garbage collector; with 700, as in Python 3.11, there are 85 in ``predict``
)


def main() -> None:
    """Run the command line.

    Imports make many objects and no garbage. So the collector looks through them less often, and no more at the end,
    where all memory is given back at once: a tenth of the time of a short command.
    """
    gc.set_threshold(ALLOCATIONS)
    atexit.register(gc.freeze)
    from lenet5_cli.commands import lenet5  # noqa: PLC0415 - under the collector's new threshold

    lenet5(prog_name="lenet5")


if __name__ == "__main__":
    main()
