"""Stock Keras 3: `Model.fit` on stock layers. Called by scripts.measure.speed.

Without XLA: of this network `fit` compiles a program for each length of a batch, and is then no faster (SimpleRNN) or
several times slower (LSTM).
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from scripts.measure.contestants.measure import Batches, report

# The tutorial's length.
_PADDED = 888


def main() -> None:
    """Measures, and prints or writes what was found."""
    source, name, mode = sys.argv[1:4]
    from job.machine import device

    # Without this, TensorFlow's wheels find no GPU.
    device.preload_libraries()
    import keras

    data = Batches(source, _PADDED, share=1 / 3) if mode == "padded" else Batches(source)
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(data.vocabulary_size, 128)(tokens)
    mask = keras.ops.not_equal(tokens, 0)
    layer = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM}[name](100, return_sequences=True)
    states = keras.layers.Bidirectional(layer)(embedded, mask=mask)
    weight = keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1)
    mean = keras.ops.sum(states * weight, axis=1) / keras.ops.sum(weight, axis=1)
    highest = keras.ops.max(states * weight - 2.0 * (1.0 - weight), axis=1)
    probability = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()([highest, mean]))
    network = keras.Model(tokens, probability)
    network.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), loss="binary_crossentropy", jit_compile=False)
    batches = list(data)

    class Sequence(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, number: int) -> tuple[object, object]:
            return batches[number][0], batches[number][1][:, None]

    first: list[float] = []

    def on_step(*_: object, **__: object) -> None:
        if not first:
            first.append(time.time() - float(os.environ["BENCHMARK_STARTED"]))

    seconds, losses = 0.0, []
    for _ in range(2):
        began = time.perf_counter()
        callback = keras.callbacks.LambdaCallback(on_train_batch_end=on_step)
        losses += network.fit(Sequence(), verbose=0, shuffle=False, callbacks=[callback]).history["loss"]
        seconds = time.perf_counter() - began
    report(seconds, data.tokens, first[0], losses, kernel="while_loop")


if __name__ == "__main__":
    main()
