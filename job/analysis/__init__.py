"""From predictions to scores, intervals, comparisons and verdicts. Knows no file and no network."""
