"""Training on several nodes: a TrainJob of Kubeflow Trainer, looked after from the step's pod."""
