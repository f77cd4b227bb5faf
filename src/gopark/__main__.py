"""`python -m gopark` is the command `gopark`."""

from gopark._cli import main

if __name__ == "__main__":
    main()
