"""TFRecord splits to a SavedModel: the multilayer perceptron of TensorFlow Mechanics 101."""
