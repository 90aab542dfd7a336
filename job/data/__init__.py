"""From a name or a path to encoded reviews in batches. Nothing here imports TensorFlow."""
