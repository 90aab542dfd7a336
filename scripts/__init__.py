"""What runs the job, its tests and its measurements."""
