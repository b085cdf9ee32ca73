"""What a measurement is: records, statistics, phases, energy. Pure: no processes, no terminal, no GPU."""
