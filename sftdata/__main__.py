"""`python -m sftdata`, for `torchrun -m sftdata train ...`."""

from sftdata.cli import main

if __name__ == "__main__":
    main()
