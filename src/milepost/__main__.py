"""Lets `python -m milepost` do what `milepost` does."""

from milepost.cli import main

if __name__ == "__main__":
    main()
