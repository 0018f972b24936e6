"""What holds on an installation of Kubeflow Pipelines: ``make test-cluster``."""
