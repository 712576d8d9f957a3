"""Probes of one vector per image: classifiers, nearest neighbours, retrieval, embedding quality."""
