"""What the job runs on and in: devices, libraries' surroundings, signals, versions."""
