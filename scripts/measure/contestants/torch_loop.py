"""PyTorch: nn.RNN and nn.LSTM, on packed sequences or on padded ones. Called by scripts.measure.speed.

On padded ones the backward direction reads the padding first, so that is another network; it is here as PyTorch's speed
without packing.
"""

import sys
from typing import Any

import numpy as np
import torch
from torch import nn

from scripts.measure.contestants.measure import Batches, measure

# Before any thread starts, which would not be told: denormal numbers, to which vanishing gradients decay, are ten times slower.
torch.set_flush_denormal(True)
torch.manual_seed(0)


class Network(nn.Module):
    """The standard network."""

    def __init__(self, name: str, vocabulary_size: int, packed: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, 128)
        self.recurrent = {"rnn": nn.RNN, "lstm": nn.LSTM}[name](128, 100, batch_first=True, bidirectional=True)
        self.head = nn.Linear(400, 1)
        self.packed = packed

    def forward(self, tokens: Any) -> Any:
        weight = (tokens != 0).float().unsqueeze(-1)
        embedded = self.embedding(tokens)
        if self.packed:
            lengths = weight.sum(dim=(1, 2)).long()
            embedded = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            states, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(embedded)[0], batch_first=True)
        else:
            states, _ = self.recurrent(embedded)
        highest = (states * weight - 2.0 * (1.0 - weight)).max(dim=1).values
        return self.head(torch.cat([highest, (states * weight).sum(dim=1) / weight.sum(dim=1)], dim=1))[:, 0]


def main() -> None:
    """Measures, and prints or writes what was found."""
    source, name, mode = sys.argv[1:4]
    data = Batches(source)
    network = Network(name, data.vocabulary_size, mode == "packed")
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    measured = nn.BCEWithLogitsLoss()
    batches = [(torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(labels)) for ids, labels in data]

    def run(number: int) -> float:
        ids, labels = batches[number]
        optimizer.zero_grad()
        loss = measured(network(ids), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    measure(run, len(batches), data.tokens, kernel=f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
