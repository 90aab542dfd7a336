"""From a network and reviews to trained weights and their scores."""
