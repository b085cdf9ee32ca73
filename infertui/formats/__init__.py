"""Results in the forms of other programs: read from their files, and written for them.

Every reader gives `Finding`s; `detect` picks the reader by what is in the file. Who wrote a file is not known:
`source` bounds what is read of it, and `values` checks each value that is taken from it.
"""
