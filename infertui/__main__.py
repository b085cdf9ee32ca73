"""`python -m infertui` is the same program as `infertui`."""

from infertui.cli.main import main

if __name__ == "__main__":
    main()
