"""What ``lenet5`` and ``python -m lenet5_cli`` run."""

from lenet5_cli.commands import lenet5


def main() -> None:
    """Run the command line."""
    lenet5(prog_name="lenet5")


if __name__ == "__main__":
    main()
