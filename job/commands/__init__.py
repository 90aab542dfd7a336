"""One file a command: each ties the other rooms together and knows neither typer nor exit codes."""
