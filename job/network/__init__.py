"""The two networks: built, run on the device's fastest kernel, exported and asked."""
