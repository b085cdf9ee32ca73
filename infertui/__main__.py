"""`python -m infertui` is the same program as `infertui`."""

from infertui.entry import main

if __name__ == "__main__":
    main()
