"""What people read of runs: a summary in the terminal, JSON lines for programs, one HTML page for a browser."""
