"""The steps: ingest, train, evaluate, push and summary, each free of KFP but for component.py."""

import os

# TensorFlow tells of its CPU features on every import; warnings still come through.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
# oneDNN changes rounding from one kind of CPU to the next, and the compiled loops do not use it.
# For networks that may have convolutions, shared.environment.choose_kernels switches it on.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Importing TensorFlow imports Keras, which no step uses, and which imports pandas, matplotlib and
# more where it finds them. Told to take the older Keras, which is not installed, it takes none.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
