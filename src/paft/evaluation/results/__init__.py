"""What is made of cells: results, statistics, summaries, estimates of quick sweeps."""
