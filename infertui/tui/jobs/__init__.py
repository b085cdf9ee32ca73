"""Commands of the command line that the screen starts: reports, exports, imports, calibrations."""
