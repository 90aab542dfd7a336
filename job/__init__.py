"""sentiment-job: trains a SimpleRNN and an LSTM on text sentiment, and reports honestly how they compare."""

__version__ = "0.1.0"
